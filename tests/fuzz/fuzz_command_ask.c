/*
 * fuzz_command_ask: any bytes as a question that another hub passes on, as an answer to one, and as
 * the id of a command. What is read is written and read again as the same.
 */
#include "hub/command.h"
#include "hub/command_ask.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static bool same(const struct buf *a, const struct buf *b)
{
    return a->size_bytes == b->size_bytes && memcmp(a->data, b->data, a->size_bytes) == 0;
}

static void check_ask(const char *text, size_t size)
{
    struct command_asked *asked = command_ask_read(text, size);
    struct buf first = BUF_INIT, second = BUF_INIT;
    if (!asked)
        return;
    command_ask_write(&first, &asked->ask);
    struct command_asked *again = command_ask_read(first.data, first.size_bytes);
    require(again != NULL, "a question that was read can be read again");
    command_ask_write(&second, &again->ask);
    require(same(&first, &second), "and is the same");
    viewer_sees_part(asked->ask.viewer, "V-1", "cmd", "rtl", 3);
    command_asked_free(asked);
    command_asked_free(again);
    buf_done(&first);
    buf_done(&second);
}

static void check_answer(const char *text, size_t size)
{
    struct command_answer answer;
    command_answer_init(&answer);
    command_answer_read(text, size, &answer);
    command_answer_done(&answer);
}

static void check_id(const char *text, size_t size)
{
    struct slice id, vid;
    uint32_t repetition;
    if (!command_id_parse(text, size, &id, &vid, &repetition))
        return;
    require(id.size > 0 && vid_valid(vid.at, vid.size), "an id names a command and a vehicle");
    require(id.at == text && vid.at == text + id.size + 1, "in this order");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* so that reading past the end is seen */
    if (!text)
        return 0;
    memcpy(text, data, size);
    check_ask(text, size);
    check_answer(text, size);
    check_id(text, size);
    free(text);
    return 0;
}
