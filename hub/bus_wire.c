#include "hub/bus_wire.h"

#include <string.h>

/* MSG and HMSG have these behind their name, at most. */
enum { TOKENS_MAX = 5, CRLF_BYTES = 2 };

struct token {
    char *at;
    size_t size;
};

/* Splits the line at blanks and tabs; 0 where there are too many tokens. */
static size_t split(char *at, const char *end, struct token tokens[TOKENS_MAX])
{
    size_t count = 0;
    for (;;) {
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if (at == end)
            return count;
        if (count == TOKENS_MAX)
            return 0;
        tokens[count].at = at;
        while (at < end && *at != ' ' && *at != '\t')
            at++;
        tokens[count].size = (size_t)(at - tokens[count].at);
        count++;
    }
}

static bool number_of(const struct token *token, uint64_t max, uint64_t *value)
{
    enum { DIGITS_MAX = 18 };
    uint64_t sum = 0;
    if (token->size == 0 || token->size > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < token->size; i++) {
        if (token->at[i] < '0' || token->at[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(token->at[i] - '0');
    }
    *value = sum;
    return sum <= max;
}

/* `NATS/1.0[ <status>[ <text>]]\r\n`, then lines, then an empty one. */
static bool take_headers(char *at, size_t size, struct wire_frame *frame)
{
    static const char version[] = "NATS/1.0";
    const size_t version_bytes = sizeof version - 1;
    char *end = at + size;
    char *first_end = memchr(at, '\n', size);
    if (size < version_bytes + 2 * CRLF_BYTES || !first_end ||
        memcmp(at, version, version_bytes) != 0 || memcmp(end - 4, "\r\n\r\n", 4) != 0)
        return false;
    const char *status = at + version_bytes;
    if (first_end - status >= WIRE_STATUS_BYTES && *status == ' ') {
        memcpy(frame->status, status + 1, WIRE_STATUS_BYTES - 1);
        frame->status[WIRE_STATUS_BYTES - 1] = '\0';
    }
    frame->headers = first_end + 1;
    frame->headers_bytes = (size_t)(end - frame->headers);
    for (char *line = first_end + 1; line < end;) {
        char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end || line_end == line || line_end[-1] != '\r')
            return false;
        line_end[-1] = '\0';
        line = line_end + 1;
    }
    return true;
}

/* `line` begins behind the name of the frame, `body` behind the line. */
static void take_msg(char *received, size_t size, char *line, char *line_end, char *body,
                     bool has_headers, struct wire_frame *frame)
{
    struct token tokens[TOKENS_MAX];
    uint64_t header_bytes = 0, bytes;
    size_t count = split(line, line_end, tokens), sizes = has_headers ? 2 : 1;
    frame->kind = WIRE_BAD;
    if (count < 2 + sizes || count > 3 + sizes || !number_of(&tokens[1], UINT64_MAX, &frame->sid) ||
        !number_of(&tokens[count - 1], WIRE_MSG_MAX_BYTES, &bytes) ||
        (has_headers && !number_of(&tokens[count - 2], bytes, &header_bytes)))
        return;
    frame->bytes = (size_t)(body - received) + bytes + CRLF_BYTES;
    if (frame->bytes > size) {
        frame->kind = WIRE_MORE;
        return;
    }
    char *end = body + bytes;
    if (end[0] != '\r' || end[1] != '\n' ||
        (has_headers && !take_headers(body, header_bytes, frame)))
        return;
    *end = '\0';
    tokens[0].at[tokens[0].size] = '\0';
    frame->subject = tokens[0].at;
    frame->reply = "";
    if (count == 3 + sizes) {
        tokens[2].at[tokens[2].size] = '\0';
        frame->reply = tokens[2].at;
    }
    frame->data = body + header_bytes;
    frame->size = (size_t)(bytes - header_bytes);
    frame->kind = WIRE_MSG;
}

static bool begins(const char *line, const char *end, const char *name)
{
    size_t size = strlen(name);
    return (size_t)(end - line) >= size && memcmp(line, name, size) == 0;
}

void wire_take(char *received, size_t size, struct wire_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    size_t look = size < WIRE_LINE_MAX_BYTES ? size : WIRE_LINE_MAX_BYTES;
    char *newline = look ? memchr(received, '\n', look) : NULL;
    if (!newline) {
        frame->kind = size < WIRE_LINE_MAX_BYTES ? WIRE_MORE : WIRE_BAD;
        return;
    }
    char *end = newline > received && newline[-1] == '\r' ? newline - 1 : newline;
    frame->bytes = (size_t)(newline + 1 - received);
    if (begins(received, end, "MSG ")) {
        take_msg(received, size, received + strlen("MSG "), end, newline + 1, false, frame);
    } else if (begins(received, end, "HMSG ")) {
        take_msg(received, size, received + strlen("HMSG "), end, newline + 1, true, frame);
    } else if (begins(received, end, "PING")) {
        frame->kind = WIRE_PING;
    } else if (begins(received, end, "PONG")) {
        frame->kind = WIRE_PONG;
    } else if (begins(received, end, "-ERR")) {
        *end = '\0';
        frame->kind = WIRE_ERR;
        frame->text = received + strlen("-ERR");
        frame->text += strspn(frame->text, " ");
    } else if (begins(received, end, "+OK") || begins(received, end, "INFO ")) {
        frame->kind = WIRE_OTHER;
    } else {
        frame->kind = WIRE_BAD;
    }
}

const char *wire_header(const char *headers, size_t headers_bytes, const char *name)
{
    size_t name_bytes = strlen(name);
    const char *end = headers + headers_bytes;
    for (const char *line = headers; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end)
            return NULL;
        if ((size_t)(line_end - line) > name_bytes && line[name_bytes] == ':' &&
            memcmp(line, name, name_bytes) == 0) {
            line += name_bytes + 1;
            return line + strspn(line, " \t");
        }
        line = line_end + 1;
    }
    return NULL;
}
