/* A configuration that changes while the hub runs (hub/config.h). */
#include "hub/config_key.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* One that was in force once: somebody may still be reading in it, so it lives as long as the hub.
 */
struct config_past {
    struct config config;
    struct config_past *next;
};

struct config_cell {
    _Atomic(const struct config *) now;
    struct config_past *past;
};

bool config_reloadable(struct config *config)
{
    config->cell = calloc(1, sizeof *config->cell);
    if (config->cell)
        atomic_init(&config->cell->now, config);
    return config->cell != NULL;
}

const struct config *config_now(const struct config *config)
{
    return config->cell ? atomic_load(&config->cell->now) : config;
}

void config_cell_free(struct config_cell *cell)
{
    if (!cell)
        return;
    for (struct config_past *past = cell->past, *next; past; past = next) {
        next = past->next;
        config_done(&past->config);
        free(past);
    }
    free(cell);
}

static bool same_value(const struct config *a, const struct config *b, const struct config_key *key)
{
    struct buf one = BUF_INIT, two = BUF_INIT;
    bool set_one = config_value_write(a, key, &one), set_two = config_value_write(b, key, &two);
    bool same = set_one == set_two && !one.failed && !two.failed &&
                (!set_one || strcmp(buf_cstr(&one), buf_cstr(&two)) == 0);
    buf_done(&one);
    buf_done(&two);
    return same;
}

/* Names what changed, and what of that takes effect with the next start alone. */
static void report_changes(const struct config *started, const struct config *was,
                           const struct config *now, struct buf *report)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->reloadable && key->type != CONFIG_JWT && !same_value(was, now, key))
            buf_addf(report, "%s: changed\n", key->name);
        else if (!key->reloadable && !same_value(started, now, key))
            buf_addf(report, "%s: needs a restart\n", key->name);
    }
}

/* The socket stays where it was opened: that `off` agrees with the address which the file names now
 * is not enough. */
static bool stays_closed(const struct config *started, const struct config *fresh,
                         struct buf *report)
{
    if (fresh->auth.mode != AUTH_OFF || config_listens_on_loopback(started))
        return true;
    buf_addf(
        report,
        "auth.mode: `off` is allowed only while http.listen is a loopback address, and the hub "
        "listens at %s until it is started again\n",
        started->http.listen);
    return false;
}

int config_reload(struct config *config, const struct config_request *request, struct buf *report)
{
    struct config_past *fresh = calloc(1, sizeof *fresh);
    struct config_cell *cell = config->cell;
    if (!fresh) {
        buf_adds(report, "no memory\n");
        return -1;
    }
    if (config_load(request, &fresh->config, report) != 0) {
        free(fresh);
        return -1;
    }
    if (!stays_closed(config, &fresh->config, report) ||
        !config_check_files(&fresh->config, report)) {
        config_done(&fresh->config);
        free(fresh);
        return -1;
    }
    report_changes(config, atomic_load(&cell->now), &fresh->config, report);
    fresh->next = cell->past;
    cell->past = fresh;
    atomic_store(&cell->now, &fresh->config);
    return 0;
}
