/* The rate of commands to each vehicle: the instants of the last minute, in order. */
#include "twin/command_policy.h"

#include <stdlib.h>
#include <string.h>

enum { INSTANTS_FIRST = 4, VEHICLES_FIRST = 64 };

struct instants {
    int64_t *at_ns; /* ascending */
    uint32_t count, room;
};

struct command_rate {
    struct instants *vehicles;
    uint32_t count;
};

struct command_rate *command_rate_new(void)
{
    return calloc(1, sizeof(struct command_rate));
}

void command_rate_free(struct command_rate *rate)
{
    if (!rate)
        return;
    for (uint32_t i = 0; i < rate->count; i++)
        free(rate->vehicles[i].at_ns);
    free(rate->vehicles);
    free(rate);
}

/* How many of them lie before the minute that ends at `now_ns`. One exactly a minute old is out. */
static uint32_t passed(const struct instants *instants, int64_t now_ns)
{
    uint32_t low = 0, high = instants->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (now_ns - instants->at_ns[middle] >= COMMAND_RATE_WINDOW_NS)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool command_rate_allows(const struct command_rate *rate, uint32_t vehicle, int64_t now_ns,
                         unsigned limit)
{
    if (vehicle >= rate->count)
        return limit > 0;
    const struct instants *instants = &rate->vehicles[vehicle];
    return instants->count - passed(instants, now_ns) < limit;
}

static bool reach(struct command_rate *rate, uint32_t vehicle)
{
    if (vehicle < rate->count)
        return true;
    uint64_t count = rate->count ? rate->count : VEHICLES_FIRST;
    while (count <= vehicle)
        count *= 2;
    struct instants *vehicles =
        count <= UINT32_MAX ? realloc(rate->vehicles, (size_t)count * sizeof *vehicles) : NULL;
    if (!vehicles)
        return false;
    memset(vehicles + rate->count, 0, (size_t)(count - rate->count) * sizeof *vehicles);
    rate->vehicles = vehicles;
    rate->count = (uint32_t)count;
    return true;
}

bool command_rate_note(struct command_rate *rate, uint32_t vehicle, int64_t at_ns)
{
    if (!reach(rate, vehicle))
        return false;
    struct instants *instants = &rate->vehicles[vehicle];
    uint32_t gone = passed(instants, at_ns);
    if (gone > 0) {
        instants->count -= gone;
        memmove(instants->at_ns, instants->at_ns + gone, instants->count * sizeof(int64_t));
    }
    if (instants->count == instants->room) {
        uint32_t room = instants->room ? instants->room * 2 : INSTANTS_FIRST;
        int64_t *all = realloc(instants->at_ns, room * sizeof *all);
        if (!all)
            return false;
        instants->at_ns = all;
        instants->room = room;
    }
    uint32_t place = instants->count++;
    for (; place > 0 && instants->at_ns[place - 1] > at_ns; place--)
        instants->at_ns[place] = instants->at_ns[place - 1];
    instants->at_ns[place] = at_ns;
    return true;
}
