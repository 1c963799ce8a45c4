/*
 * What a server answers: whatever the bytes, reading ends with an answer or without one, what the
 * answer says of an error can be printed, and what is left unread hurts nobody. The same bytes as
 * server-sent events: read whole and byte by byte they tell the same.
 */
#include "hub/client_net.h"
#include "hub/sse.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_MAX_BYTES = 64 * 1024 }; /* fits a socket's buffer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(const uint8_t *data, size_t size)
{
    int pair[2];
    struct client_answer answer = {.retry_after_s = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
    if (size > 0 && write(pair[1], data, size) != (ssize_t)size)
        abort();
    close(pair[1]);
    struct client_net net = {.fd = pair[0]};
    if (client_answer_read(&net, NULL, NULL, &answer)) {
        struct buf text = BUF_INIT;
        client_explain(&answer, &text);
        if (answer.status < 200 || text.size_bytes == 0)
            abort();
        for (size_t i = 0; i < text.size_bytes; i++)
            if (iscntrl((unsigned char)text.data[i]))
                abort();
        buf_done(&text);
    }
    client_answer_done(&answer);
    client_net_close(&net);
}

static bool tell(void *closure, const struct sse_event *event)
{
    buf_adds(closure, event->name);
    buf_addc(closure, '=');
    buf_adds(closure, event->data);
    buf_addc(closure, '|');
    return true;
}

static void read_events(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    struct sse_reader one, many;
    sse_init(&one);
    sse_init(&many);
    if (!sse_read(&one, (const char *)data, size, tell, &whole))
        abort();
    for (size_t i = 0; i < size; i++)
        if (!sse_read(&many, (const char *)data + i, 1, tell, &pieces))
            abort();
    const char *id = sse_last_id(&one), *other = sse_last_id(&many);
    if (strcmp(buf_cstr(&whole), buf_cstr(&pieces)) != 0 || !id != !other ||
        (id && strcmp(id, other) != 0))
        abort();
    sse_done(&one);
    sse_done(&many);
    buf_done(&whole);
    buf_done(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES)
        return 0;
    read_answer(data, size);
    read_events(data, size);
    return 0;
}
