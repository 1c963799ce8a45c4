#include "hub/log.h"

#include "hub/utf8.h"
#include "twin/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    /* PIPE_BUF: up to here one write to a pipe is never mixed with another's. */
    LOG_LINE_MAX_BYTES = 4096,
    /* Kept free for what ends a line: a closing quote, the mark that it was cut, `}` and newline.
     */
    LOG_TAIL_BYTES = 32,
    LOG_ESCAPE_MAX_BYTES = 8,
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static _Atomic int lowest_level = LOG_INFO;
static _Atomic bool as_json;

void log_setup(enum log_level level, bool json)
{
    atomic_store_explicit(&lowest_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

struct log_number log_number_of(int64_t value)
{
    struct log_number number;
    snprintf(number.text, sizeof number.text, "%" PRId64, value);
    return number;
}

struct line {
    char text[LOG_LINE_MAX_BYTES];
    size_t size;
    bool json;
    bool cut; /* something did not fit: nothing more is added */
};

static bool line_add(struct line *line, const char *bytes, size_t size)
{
    /* A closing quote may have taken the first byte of the tail: nothing is subtracted here. */
    if (line->cut || line->size + size > sizeof line->text - LOG_TAIL_BYTES) {
        line->cut = true;
        return false;
    }
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
    return true;
}

/* How a character stands between quotes; NULL: as it is. */
static const char *escape_of(uint32_t character, char escaped[LOG_ESCAPE_MAX_BYTES])
{
    switch (character) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case UTF8_BAD:
        return "\\ufffd";
    default:
        if (!utf8_is_control(character))
            return NULL;
        snprintf(escaped, LOG_ESCAPE_MAX_BYTES, "\\u%04x", (unsigned)character & 0xFFFFu);
        return escaped;
    }
}

/* logfmt leaves a value without quotes where nothing in it could be taken for something else. */
static bool needs_quotes(const char *value, size_t size)
{
    char escaped[LOG_ESCAPE_MAX_BYTES];
    size_t taken;
    for (size_t i = 0; i < size; i += taken) {
        uint32_t character = utf8_next(value + i, size - i, &taken);
        if (character == ' ' || character == '=' || escape_of(character, escaped))
            return true;
    }
    return size == 0;
}

static void line_value(struct line *line, const char *value)
{
    if (!value) {
        line_add(line, "null", 4);
        return;
    }
    size_t size = strlen(value), taken;
    if (!line->json && !needs_quotes(value, size)) {
        /* Cut as a whole character, like the quoted form below. */
        for (size_t i = 0; i < size; i += taken) {
            utf8_next(value + i, size - i, &taken);
            if (!line_add(line, value + i, taken))
                return;
        }
        return;
    }
    if (!line_add(line, "\"", 1))
        return;
    for (size_t i = 0; i < size; i += taken) {
        char escaped[LOG_ESCAPE_MAX_BYTES];
        const char *escape = escape_of(utf8_next(value + i, size - i, &taken), escaped);
        if (!(escape ? line_add(line, escape, strlen(escape)) : line_add(line, value + i, taken)))
            break;
    }
    line->text[line->size++] = '"'; /* within the tail */
}

static void line_pair(struct line *line, const char *name, const char *value)
{
    size_t start = line->size;
    bool fits = true;
    if (line->json) {
        fits = line_add(line, start ? ",\"" : "{\"", 2) && line_add(line, name, strlen(name)) &&
               line_add(line, "\":", 2);
    } else {
        fits = (start == 0 || line_add(line, " ", 1)) && line_add(line, name, strlen(name)) &&
               line_add(line, "=", 1);
    }
    size_t value_start = line->size;
    if (fits)
        line_value(line, value);
    if (!fits || line->size == value_start)
        line->size = start; /* a name without a value is dropped */
}

static void line_end(struct line *line)
{
    static const char cut_json[] = ",\"cut\":true", cut_plain[] = " cut=true";
    _Static_assert(sizeof cut_json + 3 <= LOG_TAIL_BYTES, "the tail holds what ends a line");
    if (line->cut) {
        const char *mark = line->json ? cut_json : cut_plain;
        memcpy(line->text + line->size, mark, strlen(mark));
        line->size += strlen(mark);
    }
    if (line->json)
        line->text[line->size++] = '}';
    line->text[line->size++] = '\n';
}

static void line_timestamp(struct line *line)
{
    struct timespec now;
    char text[TIMESTAMP_TEXT_BYTES];
    clock_gettime(CLOCK_REALTIME, &now);
    timestamp_format((int64_t)now.tv_sec * NS_PER_S + now.tv_nsec / NS_PER_MS * NS_PER_MS, text);
    line_pair(line, "ts", text);
}

void log_write(enum log_level level, const char *event, ...)
{
    if (!log_enabled(level))
        return;
    int errno_before = errno; /* so that a line may stand between a failure and its handling */
    struct line line;
    line.size = 0;
    line.cut = false;
    line.json = atomic_load_explicit(&as_json, memory_order_relaxed);
    line_timestamp(&line);
    line_pair(&line, "level", level_names[level]);
    line_pair(&line, "event", event);
    va_list args;
    va_start(args, event);
    for (const char *name; !line.cut && (name = va_arg(args, const char *)) != NULL;)
        line_pair(&line, name, va_arg(args, const char *));
    va_end(args);
    line_end(&line);
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line.text, line.size);
    } while (written < 0 && errno == EINTR);
    errno = errno_before;
}
