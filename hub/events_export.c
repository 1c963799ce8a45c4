#include "hub/events_export.h"

#include "hub/archive.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/record_formats.h"
#include "hub/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEND_BYTES = 48 * 1024, /* handed to a connection at once */
    FIRST_WANT = 1000,      /* records of the first turn */
    RETRY_PAUSE_MS = 200,
};

struct exports {
    struct archive_reader *reader;
    struct workers *workers;
    _Atomic int open;
    _Atomic bool draining;
};

/* An export belongs to its connection, and to the lane while it is in its hands. */
struct export
{
    struct http_stream stream;
    struct exports *lane;
    const struct http_request *request;
    struct events_asked asked;
    enum format format;

    pthread_mutex_t lock; /* guards what follows, up to `job` */
    struct buf ready;     /* on its way; `sent` bytes of it are gone */
    size_t sent;
    struct buf next; /* what the last turn made */
    bool at_work;    /* a turn waits or runs */
    bool ended, broken, gone;

    struct worker_job job; /* the lane's, from here on */
    struct archive_scan *scan;
    struct buf piece;
    bool begun; /* its first line, where the format has one, is written */
    bool bounded;
    size_t want;
    int64_t records;
    int64_t failing_since_ms; /* 0: it is not */
};

static struct export *export_of(struct worker_job *job)
{
    return (struct export *)(void *)((char *)job - offsetof(struct export, job));
}

static void export_free(struct export *export)
{
    archive_scan_free(export->scan);
    events_asked_done(&export->asked);
    buf_done(&export->ready);
    buf_done(&export->next);
    buf_done(&export->piece);
    pthread_mutex_destroy(&export->lock);
    atomic_fetch_sub(&export->lane->open, 1);
    metrics_move(METRIC_EXPORTS, 0, -1);
    free(export);
}

/* ---- a turn ---- */

/* Nobody waits for it any more. */
static bool is_given_up(void *closure)
{
    struct export *export = closure;
    if (atomic_load(&export->lane->draining))
        return true;
    pthread_mutex_lock(&export->lock); /* while it is held, the request is there if not gone */
    bool gone = export->gone || http_gone(export->request);
    pthread_mutex_unlock(&export->lock);
    return gone;
}

static bool take(void *closure, const struct record *record)
{
    struct export *export = closure;
    record_format_item(&export->piece, export->format, record, export->records == 0);
    export->records++;
    return export->piece.size_bytes < EXPORT_PIECE_BYTES && !export->piece.failed;
}

/* As it is when it begins, so that it has an end. */
static enum archive_status bound(struct export *export, struct archive_error *error)
{
    int64_t first, last;
    if (export->bounded)
        return ARCHIVE_OK;
    enum archive_status status = archive_bounds(export->lane->reader, &first, &last, error);
    if (status == ARCHIVE_OK) {
        archive_scan_until(export->scan, last);
        export->bounded = true;
    }
    return status;
}

/* False: it cannot go on. */
static bool bear(struct export *export, enum archive_status status,
                 const struct archive_error *error)
{
    int64_t now_ms = clock_mono_ms();
    if (status == ARCHIVE_OK) {
        export->failing_since_ms = 0;
        return true;
    }
    if (export->failing_since_ms == 0)
        export->failing_since_ms = now_ms;
    if (status == ARCHIVE_UNAVAILABLE && now_ms - export->failing_since_ms < EXPORT_RETRY_MS) {
        clock_pause_ms(RETRY_PAUSE_MS);
        return true;
    }
    if (status != ARCHIVE_GIVEN_UP)
        log_warn("export.cut", "records", LOG_INT(export->records), "error", error->text);
    return false;
}

/* So that the next turn makes about one piece. */
static void estimate(struct export *export, int64_t records)
{
    if (records == 0 || export->piece.size_bytes == 0)
        return;
    size_t each = export->piece.size_bytes / (size_t)records;
    export->want = EXPORT_PIECE_BYTES / (each + 1) + 1;
}

/* False: the export is broken. */
static bool make_piece(struct export *export)
{
    struct archive_error error = {""};
    struct archive_turn turn = {.want = export->want,
                                .timeout_ms = ARCHIVE_CALL_TIMEOUT_MS,
                                .take = take,
                                .given_up = is_given_up,
                                .closure = export};
    int64_t before = export->records;
    buf_reset(&export->piece);
    if (is_given_up(export))
        return false;
    if (!export->begun)
        record_format_begin(&export->piece, export->format);
    export->begun = true;
    enum archive_status status = bound(export, &error);
    if (status == ARCHIVE_OK)
        status = archive_scan_turn(export->scan, export->lane->reader, &turn, &error);
    if (!bear(export, status, &error) || export->piece.failed)
        return false;
    estimate(export, export->records - before);
    if (archive_scan_ended(export->scan))
        record_format_end(&export->piece, export->format, "");
    return !export->piece.failed;
}

static void submit(struct export *export);

/* Hands the piece over, and asks for the next turn while there is room. */
static void run_job(struct worker_job *job)
{
    struct export *export = export_of(job);
    bool good = make_piece(export);
    pthread_mutex_lock(&export->lock);
    struct buf room = export->next; /* empty: else there would not have been a turn */
    export->next = export->piece;
    export->piece = room;
    export->broken = !good;
    export->ended = good && archive_scan_ended(export->scan);
    export->at_work = false;
    bool gone = export->gone;
    if (!gone) {
        /* A turn that found nothing, or whose piece is taken by the connection at once. */
        if (export->next.size_bytes == 0 && !export->broken && !export->ended)
            submit(export);
        else
            http_stream_wake(&export->stream);
    }
    pthread_mutex_unlock(&export->lock);
    if (gone)
        export_free(export);
}

static void drop_job(struct worker_job *job)
{
    struct export *export = export_of(job);
    pthread_mutex_lock(&export->lock);
    export->broken = true;
    export->at_work = false;
    bool gone = export->gone;
    if (!gone)
        http_stream_wake(&export->stream);
    pthread_mutex_unlock(&export->lock);
    if (gone)
        export_free(export);
}

/* With the lock held, and nothing at work. */
static void submit(struct export *export)
{
    export->at_work = true;
    if (workers_submit(export->lane->workers, &export->job))
        return;
    export->at_work = false; /* the hub is stopping: there are places for all exports */
    export->broken = true;
    http_stream_wake(&export->stream);
}

/* ---- the connection's side ---- */

/* The next turn's piece in the place of what is sent, and the turn after it begun. */
static void advance(struct export *export)
{
    if (export->sent < export->ready.size_bytes || export->at_work)
        return;
    struct buf sent = export->ready;
    export->ready = export->next;
    export->next = sent;
    buf_reset(&export->next);
    export->sent = 0;
    if (!export->ended && !export->broken)
        submit(export);
}

static enum http_more next_piece(struct http_stream *stream, struct buf *out)
{
    struct export *export = (struct export *)stream;
    enum http_more more = HTTP_MORE;
    pthread_mutex_lock(&export->lock);
    advance(export);
    size_t left = export->ready.size_bytes - export->sent;
    size_t size = left < SEND_BYTES ? left : SEND_BYTES;
    if (size > 0) {
        buf_add(out, export->ready.data + export->sent, size);
        export->sent += size;
    } else if (export->at_work) {
        more = HTTP_WAIT;
    } else {
        more = export->ended ? HTTP_END : HTTP_FAILED;
    }
    pthread_mutex_unlock(&export->lock);
    return more;
}

static void free_stream(struct http_stream *stream)
{
    struct export *export = (struct export *)stream;
    pthread_mutex_lock(&export->lock);
    export->gone = true;
    bool at_work = export->at_work;
    pthread_mutex_unlock(&export->lock);
    if (!at_work)
        export_free(export);
}

/* ---- the lane ---- */

struct exports *exports_new(const char *dsn)
{
    struct exports *exports = calloc(1, sizeof *exports);
    if (!exports)
        return NULL;
    metrics_set(METRIC_EXPORTS, 0, 0);
    exports->reader = archive_reader_new(dsn, EXPORT_THREADS);
    exports->workers = workers_new(EXPORT_THREADS, EXPORTS_MAX);
    if (exports->reader && exports->workers)
        return exports;
    if (exports->workers)
        workers_stop(exports->workers, 0);
    exports_free(exports);
    return NULL;
}

void exports_drain(struct exports *exports)
{
    if (exports)
        atomic_store(&exports->draining, true);
}

bool exports_stop(struct exports *exports, int timeout_ms)
{
    return !exports || workers_stop(exports->workers, timeout_ms);
}

void exports_free(struct exports *exports)
{
    if (!exports)
        return;
    workers_free(exports->workers);
    archive_reader_free(exports->reader);
    free(exports);
}

enum export_status exports_open(struct exports *exports, const struct http_request *request,
                                struct events_asked *asked, enum format format,
                                struct http_stream **stream)
{
    if (atomic_load(&exports->draining))
        return EXPORT_STOPPING;
    if (atomic_fetch_add(&exports->open, 1) >= EXPORTS_MAX) {
        atomic_fetch_sub(&exports->open, 1);
        return EXPORT_FULL;
    }
    struct export *export = calloc(1, sizeof *export);
    if (!export) {
        atomic_fetch_sub(&exports->open, 1);
        return EXPORT_NO_MEMORY;
    }
    metrics_move(METRIC_EXPORTS, 0, 1);
    export->stream = (struct http_stream){.next = next_piece, .free = free_stream, .waits = true};
    export->lane = exports;
    export->request = request;
    export->format = format;
    export->want = FIRST_WANT;
    export->job = (struct worker_job){.run = run_job, .drop = drop_job};
    pthread_mutex_init(&export->lock, NULL);
    export->asked = *asked; /* taken over */
    *asked = (struct events_asked){.filter = NULL};
    if (events_asked_keep(&export->asked))
        export->scan = archive_scan_new(&export->asked.question, export->asked.ascending);
    if (!export->scan) {
        export_free(export);
        return EXPORT_NO_MEMORY;
    }
    *stream = &export->stream;
    return EXPORT_OK;
}
