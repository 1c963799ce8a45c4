#include "hub/archive_impl.h"

#include "hub/archive_row.h"
#include "hub/archive_sql.h"
#include "hub/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How the rows of a turn are bounded.
 *
 * Where an index has them in the order of seq, by their number: LIMIT. Anything else (a time, a
 * severity) could make the planner walk the whole log in that order in the hope of an early match,
 * so there it is a window of seq without a LIMIT, and the statement is as good as its conditions.
 * A window that took little time and gave little grows, one that took long shrinks. */
enum {
    ROWS_MAX = 20000,      /* of a turn by number */
    WINDOW_FIRST = 4096,   /* numbers of seq */
    WINDOW_MAX = 16 << 20, /* the widest window */
    WINDOW_GROWTH = 4,
    QUICK_MS = 100,   /* a window that took less may grow */
    SLOW_MS = 1000,   /* one that took more shrinks */
    DRAIN_ROWS = 200, /* read on rather than connect anew */
    LOOK_ROWS = 512,  /* after which the time is looked at, where rows come without a pause */
};

struct archive_scan {
    struct record_judge judge;
    struct archive_conditions conditions;
    bool ascending;
    bool started; /* `at` is where it stands */
    bool ended;
    int64_t at;
    bool bounded;        /* by windows: first and last are known */
    int64_t first, last; /* nothing beyond these is wanted, or there */
    int64_t rows, window;
};

struct archive_scan *archive_scan_new(const struct record_question *question, bool ascending)
{
    struct archive_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return NULL;
    bool judges = record_judge_init(&scan->judge, question);
    bool asks = archive_conditions_init(&scan->conditions, question);
    if (!judges || !asks) {
        archive_scan_free(scan);
        return NULL;
    }
    scan->ascending = ascending;
    scan->first = scan->conditions.first_seq;
    scan->last = scan->conditions.last_seq;
    scan->window = WINDOW_FIRST;
    scan->ended = scan->first > scan->last;
    return scan;
}

void archive_scan_free(struct archive_scan *scan)
{
    if (!scan)
        return;
    record_judge_done(&scan->judge);
    archive_conditions_done(&scan->conditions);
    free(scan);
}

void archive_scan_after(struct archive_scan *scan, int64_t seq)
{
    scan->started = true;
    scan->at = seq;
}

void archive_scan_until(struct archive_scan *scan, int64_t last_seq)
{
    scan->last = last_seq < scan->last ? last_seq : scan->last;
    scan->ended = scan->ended || scan->first > scan->last;
}

bool archive_scan_ended(const struct archive_scan *scan)
{
    return scan->ended;
}

int64_t archive_scan_at(const struct archive_scan *scan)
{
    return scan->at;
}

/* ---- one turn ---- */

struct turn {
    struct archive_scan *scan;
    const struct archive_turn *wanted;
    int64_t low, high;   /* the seq that the statement asks for */
    int64_t limit;       /* of rows; 0: none */
    int64_t rows, taken; /* so many came, so many were what was asked for */
    bool enough;         /* no more are wanted */
    bool malformed, no_memory, changed, given_up, late;
    int64_t until_ms;
};

/* Asked while the database makes one wait. */
static bool given_up(void *closure)
{
    struct turn *turn = closure;
    turn->late = clock_mono_ms() >= turn->until_ms;
    turn->given_up = turn->wanted->given_up && turn->wanted->given_up(turn->wanted->closure);
    return turn->late || turn->given_up;
}

/* False: no more are wanted. */
static bool take_row(struct turn *turn, const struct pg_field *fields)
{
    struct archive_scan *scan = turn->scan;
    struct record record;
    if (!archive_row_read(fields, &record)) {
        turn->malformed = true;
        return false;
    }
    turn->rows++;
    switch (record_judge_ask(&scan->judge, &record)) {
    case RECORD_NOT_JUDGED:
        turn->no_memory = true;
        return false;
    case RECORD_CHANGED:
        turn->changed = true;
        return false;
    case RECORD_YES:
        turn->taken++;
        turn->enough = !turn->wanted->take(turn->wanted->closure, &record);
        break;
    case RECORD_NO:
        break;
    }
    archive_scan_after(scan, record.seq);
    if (turn->rows % LOOK_ROWS == 0 && given_up(turn))
        return false;
    return !turn->enough;
}

/* What is left of the log, from where the scan stands. */
static void bound_turn(struct turn *turn)
{
    struct archive_scan *scan = turn->scan;
    turn->low = scan->first;
    turn->high = scan->last;
    if (scan->started && scan->ascending && scan->at >= turn->low)
        turn->low = scan->at < INT64_MAX ? scan->at + 1 : INT64_MAX;
    if (scan->started && !scan->ascending && scan->at <= turn->high)
        turn->high = scan->at > INT64_MIN ? scan->at - 1 : INT64_MIN;
}

static void cut_window(struct turn *turn)
{
    struct archive_scan *scan = turn->scan;
    int64_t window = scan->window;
    if (scan->ascending && turn->high - turn->low >= window)
        turn->high = turn->low + window - 1;
    else if (turn->high - turn->low >= window)
        turn->low = turn->high - window + 1;
}

static void write_sql(const struct turn *turn, struct buf *sql)
{
    const struct archive_scan *scan = turn->scan;
    buf_addf(sql, "COPY (SELECT %s FROM records WHERE true", archive_row_columns);
    buf_add(sql, scan->conditions.sql.data, scan->conditions.sql.size_bytes);
    if (turn->low > INT64_MIN)
        buf_addf(sql, " AND seq >= %lld", (long long)turn->low);
    if (turn->high < INT64_MAX)
        buf_addf(sql, " AND seq <= %lld", (long long)turn->high);
    buf_addf(sql, " ORDER BY seq %s", scan->ascending ? "ASC" : "DESC");
    if (turn->limit > 0)
        buf_addf(sql, " LIMIT %lld", (long long)turn->limit);
    buf_adds(sql, ") TO STDOUT (FORMAT binary)");
}

/* The statement brought all that it asked for. */
static void finish_rows(struct turn *turn)
{
    struct archive_scan *scan = turn->scan;
    scan->ended = turn->rows < turn->limit;
    if (turn->taken < turn->rows || turn->limit < (int64_t)turn->wanted->want)
        scan->rows = turn->limit * 2 < ROWS_MAX ? turn->limit * 2 : ROWS_MAX;
}

static void finish_window(struct turn *turn, int64_t took_ms)
{
    struct archive_scan *scan = turn->scan;
    archive_scan_after(scan, scan->ascending ? turn->high : turn->low);
    scan->ended = scan->ascending ? turn->high >= scan->last : turn->low <= scan->first;
    if (took_ms > SLOW_MS && scan->window > WINDOW_FIRST)
        scan->window /= WINDOW_GROWTH;
    else if (took_ms < QUICK_MS && turn->taken < (int64_t)turn->wanted->want &&
             scan->window < WINDOW_MAX)
        scan->window *= WINDOW_GROWTH;
}

/* Windows need to know where the log begins and ends. */
static enum archive_status learn_bounds(struct archive_scan *scan, struct pg *pg,
                                        struct archive_error *error)
{
    static const struct pg_statement bounds = {.name = "archive_bounds",
                                               .sql = "SELECT min(seq), max(seq) FROM records"};
    struct pg_result *rows = NULL;
    struct pg_error failed;
    enum pg_status status = pg_run(pg, &bounds, NULL, &rows, &failed);
    if (status == PG_OK) {
        int64_t first = pg_get_int(rows, 0, 0), last = pg_get_int(rows, 0, 1);
        scan->first = first > scan->first ? first : scan->first;
        scan->last = last < scan->last ? last : scan->last;
        scan->bounded = true;
    }
    pg_result_free(rows);
    return archive_status_of(status, &failed, error);
}

/* What is not wanted any more is read where it is little; else it is let go of, and the connection
 * with it. */
static void leave_rows(struct pg *pg)
{
    struct pg_field fields[ARCHIVE_ROW_FIELDS];
    struct pg_error ignored;
    bool over = false;
    enum pg_status status = PG_OK;
    for (int i = 0; i < DRAIN_ROWS && status == PG_OK && !over; i++)
        status = pg_copy_next(pg, fields, ARCHIVE_ROW_FIELDS, &over, &ignored);
    if (status == PG_OK && !over)
        pg_copy_cancel(pg);
}

static enum pg_status read_rows(struct turn *turn, struct pg *pg, const char *sql,
                                struct pg_error *failed)
{
    struct pg_field fields[ARCHIVE_ROW_FIELDS];
    bool over = false;
    enum pg_status status = pg_copy_begin(pg, sql, failed);
    while (status == PG_OK && !over) {
        status = pg_copy_next(pg, fields, ARCHIVE_ROW_FIELDS, &over, failed);
        if (status == PG_OK && !over && !take_row(turn, fields)) {
            leave_rows(pg);
            break;
        }
    }
    return status;
}

/* The time was up. Whether the next turn will come further: it begins where this one ended, or
 * looks at less. */
static bool goes_on(struct turn *turn)
{
    struct archive_scan *scan = turn->scan;
    bool narrower = turn->limit == 0 && scan->window > WINDOW_FIRST;
    if (narrower)
        scan->window /= WINDOW_GROWTH;
    return turn->rows > 0 || narrower;
}

static enum archive_status run_turn(struct turn *turn, struct pg *pg, struct archive_error *error)
{
    struct buf sql = BUF_INIT;
    struct pg_error failed = {.text = ""};
    int64_t began_ms = clock_mono_ms();
    write_sql(turn, &sql);
    enum pg_status status = sql.failed ? PG_FAILED : read_rows(turn, pg, buf_cstr(&sql), &failed);
    turn->no_memory = turn->no_memory || sql.failed;
    buf_done(&sql);
    if (turn->malformed || turn->no_memory || turn->changed) {
        snprintf(error->text, sizeof error->text, "%s",
                 turn->malformed   ? "a row of records is malformed"
                 : turn->no_memory ? "no memory"
                                   : "a group that the filter names was defined anew");
        return turn->malformed   ? ARCHIVE_FAILED
               : turn->no_memory ? ARCHIVE_UNAVAILABLE
                                 : ARCHIVE_CHANGED;
    }
    if (turn->enough)
        return ARCHIVE_OK;
    bool timed_out = turn->late || strcmp(failed.sqlstate, "57014") == 0;
    if (timed_out && !turn->given_up && goes_on(turn))
        return ARCHIVE_OK;
    if (timed_out) {
        snprintf(error->text, sizeof error->text, "not within %d ms", turn->wanted->timeout_ms);
        return ARCHIVE_UNAVAILABLE;
    }
    if (status != PG_OK)
        return archive_status_of(status, &failed, error);
    if (turn->limit > 0)
        finish_rows(turn);
    else
        finish_window(turn, clock_mono_ms() - began_ms);
    return ARCHIVE_OK;
}

enum archive_status archive_scan_turn(struct archive_scan *scan, struct archive_reader *reader,
                                      const struct archive_turn *wanted,
                                      struct archive_error *error)
{
    struct turn turn = {.scan = scan, .wanted = wanted};
    struct pg *pg = NULL;
    if (scan->ended)
        return ARCHIVE_OK;
    enum archive_status status = archive_take(reader, &pg, error);
    if (status != ARCHIVE_OK)
        return status;
    turn.until_ms = clock_mono_ms() + wanted->timeout_ms;
    pg_watch(pg, given_up, &turn);
    if (!scan->conditions.by_index && !scan->bounded)
        status = learn_bounds(scan, pg, error);
    bound_turn(&turn);
    scan->ended = status == ARCHIVE_OK && turn.low > turn.high;
    if (scan->conditions.by_index) {
        int64_t want = wanted->want < ROWS_MAX ? (int64_t)wanted->want : ROWS_MAX;
        turn.limit = scan->rows > want ? scan->rows : want;
    } else {
        cut_window(&turn);
    }
    if (status == ARCHIVE_OK && !scan->ended)
        status = run_turn(&turn, pg, error);
    pg_watch(pg, NULL, NULL);
    archive_give(reader, pg);
    return turn.given_up ? ARCHIVE_GIVEN_UP : status;
}
