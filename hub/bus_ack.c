#include "hub/bus_ack.h"

#include <string.h>

#define ACK_PREFIX "$JS.ACK."

/* Tokens behind the prefix, in the short form and in the one with domain and account. */
enum { SHORT_TOKENS = 7, LONG_TOKENS = 9, LONG_TOKENS_MAX = 10, NUMBERS = 5 };

static bool number_parse(const char *at, const char *end, uint64_t *value)
{
    uint64_t sum = 0;
    if (at == end)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        uint64_t digit = (uint64_t)(*at - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool bus_ack_parse(const char *reply, struct bus_ack *ack)
{
    if (!reply || strncmp(reply, ACK_PREFIX, sizeof(ACK_PREFIX) - 1) != 0)
        return false;
    const char *start[LONG_TOKENS_MAX + 1];
    int count = 0;
    const char *at = reply + sizeof(ACK_PREFIX) - 1;
    start[count++] = at;
    for (; *at; at++) {
        if (*at != '.')
            continue;
        if (count == LONG_TOKENS_MAX)
            return false;
        start[count++] = at + 1;
    }
    start[count] = at + 1;

    int first; /* the count of deliveries */
    if (count == SHORT_TOKENS)
        first = SHORT_TOKENS - NUMBERS;
    else if (count == LONG_TOKENS || count == LONG_TOKENS_MAX)
        first = LONG_TOKENS - NUMBERS;
    else
        return false;

    uint64_t number[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        if (!number_parse(start[first + i], start[first + i + 1] - 1, &number[i]))
            return false;
    if (number[3] > INT64_MAX)
        return false;
    ack->stream_seq = number[1];
    ack->consumer_seq = number[2];
    ack->received_ns = (int64_t)number[3];
    ack->pending = number[4];
    return true;
}
