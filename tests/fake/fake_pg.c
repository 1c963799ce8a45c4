#include "tests/fake/fake_pg.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2000-01-01 in microseconds since 1970: where PostgreSQL's time begins. */
#define PG_EPOCH_US INT64_C(946684800000000)

enum { ASKED_MAX = 4096, SQL_KEPT_BYTES = 256 };

struct cell {
    char *at; /* NULL: null */
    size_t size;
};

struct row {
    struct cell cells[FAKE_PG_CELLS_MAX];
    int count;
};

/* What is answered; its rows stay until fake_pg_reset. */
struct pg_result {
    const char *sql;
    enum pg_status status, behind; /* of the statement, and behind its rows */
    struct row *rows;
    int count;
    bool used;
};

struct pg {
    struct pg_result *copied;
    int next;
};

static struct {
    pthread_mutex_t lock;
    struct pg_result answers[FAKE_PG_ANSWERS_MAX];
    int count;
    char asked[ASKED_MAX][SQL_KEPT_BYTES];
    int asked_count;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct pg one;
static struct pg_result nothing;

/* A test that is written wrongly; threads of the hub come here, too. */
static _Noreturn void wrong(const char *what)
{
    fprintf(stderr, "fake_pg: %s\n", what);
    abort();
}

/* ---- what the test says ---- */

struct pg *fake_pg(void)
{
    return &one;
}

void fake_pg_reset(void)
{
    for (int i = 0; i < fake.count; i++) {
        for (int row = 0; row < fake.answers[i].count; row++)
            for (int cell = 0; cell < fake.answers[i].rows[row].count; cell++)
                free(fake.answers[i].rows[row].cells[cell].at);
        free(fake.answers[i].rows);
    }
    fake.count = 0;
    fake.asked_count = 0;
}

void fake_pg_broken_answer(const char *sql, enum pg_status status)
{
    fake_pg_answer(sql, PG_OK);
    fake.answers[fake.count - 1].behind = status;
}

void fake_pg_answer(const char *sql, enum pg_status status)
{
    if (fake.count == FAKE_PG_ANSWERS_MAX)
        wrong("too many answers");
    fake.answers[fake.count++] = (struct pg_result){.sql = sql, .status = status, .behind = PG_OK};
}

void fake_pg_row(void)
{
    struct pg_result *answer = &fake.answers[fake.count - 1];
    answer->rows = realloc(answer->rows, (size_t)(answer->count + 1) * sizeof *answer->rows);
    if (!answer->rows)
        wrong("no memory");
    answer->rows[answer->count++] = (struct row){.count = 0};
}

static struct cell *add_cell(void)
{
    struct pg_result *answer = &fake.answers[fake.count - 1];
    struct row *row = &answer->rows[answer->count - 1];
    if (row->count == FAKE_PG_CELLS_MAX)
        wrong("too many cells");
    return &row->cells[row->count++];
}

void fake_pg_null(void)
{
    *add_cell() = (struct cell){NULL, 0};
}

void fake_pg_bytes(const void *bytes, size_t size)
{
    struct cell *cell = add_cell();
    cell->at = malloc(size + 1);
    if (!cell->at)
        wrong("no memory");
    if (size > 0)
        memcpy(cell->at, bytes, size);
    cell->at[size] = '\0';
    cell->size = size;
}

void fake_pg_text(const char *text)
{
    fake_pg_bytes(text, strlen(text));
}

void fake_pg_bool(bool value)
{
    fake_pg_bytes(value ? "\1" : "\0", 1);
}

static void add_int(int64_t value, size_t size)
{
    uint8_t bytes[sizeof value];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * (size - 1 - i)));
    fake_pg_bytes(bytes, size);
}

void fake_pg_int(int64_t value)
{
    add_int(value, sizeof value);
}

void fake_pg_int2(int16_t value)
{
    add_int(value, sizeof value);
}

int fake_pg_asked(const char *sql)
{
    int count = 0;
    for (int i = 0; i < fake.asked_count; i++)
        count += strstr(fake.asked[i], sql) != NULL;
    return count;
}

/* ---- what the hub asks ---- */

static struct pg_result *find(const char *sql, struct pg_error *error)
{
    struct pg_result *found = NULL;
    pthread_mutex_lock(&fake.lock);
    if (fake.asked_count == ASKED_MAX)
        wrong("too many statements");
    snprintf(fake.asked[fake.asked_count++], SQL_KEPT_BYTES, "%s", sql);
    for (int i = 0; i < fake.count; i++) {
        if (!strstr(sql, fake.answers[i].sql))
            continue;
        found = &fake.answers[i];
        if (!found->used)
            break;
    }
    if (found)
        found->used = true;
    pthread_mutex_unlock(&fake.lock);
    if (found && found->status != PG_OK)
        *error = (struct pg_error){.sqlstate = "XX000", .text = "a fault of the test"};
    return found ? found : &nothing;
}

enum pg_status pg_open(const struct pg_options *options, struct pg **pg, struct pg_error *error)
{
    (void)options;
    enum pg_status status = find("connect", error)->status;
    *pg = status == PG_OK ? calloc(1, sizeof **pg) : NULL;
    return status;
}

void pg_close(struct pg *pg)
{
    if (pg != &one)
        free(pg);
}

bool pg_alive(struct pg *pg)
{
    return pg != NULL;
}

/* Of hub/pg_impl.h, which needs libpq's header: the pool asks it. */
int64_t pg_now_ms(void);
int64_t pg_now_ms(void)
{
    return 0;
}

enum pg_status pg_run(struct pg *pg, const struct pg_statement *statement,
                      const struct pg_params *params, struct pg_result **result,
                      struct pg_error *error)
{
    (void)pg;
    if (params && params->bytes.failed) {
        *error = (struct pg_error){.text = "no memory"};
        return PG_FAILED;
    }
    struct pg_result *found = find(statement->sql, error);
    if (result && found->status == PG_OK)
        *result = found;
    return found->status;
}

enum pg_status pg_script(struct pg *pg, const char *sql, struct pg_error *error)
{
    (void)pg;
    return find(sql, error)->status;
}

void pg_result_free(struct pg_result *result)
{
    (void)result; /* it is the test's */
}

int pg_rows(const struct pg_result *result)
{
    return result ? result->count : 0;
}

static const struct cell *cell_of(const struct pg_result *result, int row, int column)
{
    if (!result || row >= result->count || column >= result->rows[row].count)
        wrong("a cell was read that is not there");
    return &result->rows[row].cells[column];
}

struct pg_field pg_get_field(const struct pg_result *result, int row, int column)
{
    const struct cell *cell = cell_of(result, row, column);
    return (struct pg_field){cell->at, cell->size};
}

bool pg_get_null(const struct pg_result *result, int row, int column)
{
    return !cell_of(result, row, column)->at;
}

bool pg_get_bool(const struct pg_result *result, int row, int column)
{
    const struct cell *cell = cell_of(result, row, column);
    return cell->at && *cell->at != 0;
}

int64_t pg_get_int(const struct pg_result *result, int row, int column)
{
    struct pg_field field = pg_get_field(result, row, column);
    return field.at ? pg_field_int(&field) : 0;
}

const char *pg_get_bytes(const struct pg_result *result, int row, int column, size_t *size)
{
    const struct cell *cell = cell_of(result, row, column);
    if (size)
        *size = cell->size;
    return cell->at ? cell->at : "";
}

/* ---- rows as they come ---- */

enum pg_status pg_copy_begin(struct pg *pg, const char *sql, struct pg_error *error)
{
    pg->copied = find(sql, error);
    pg->next = 0;
    return pg->copied->status;
}

enum pg_status pg_copy_next(struct pg *pg, struct pg_field *fields, int count, bool *over,
                            struct pg_error *error)
{
    *over = pg->next == pg->copied->count;
    if (*over && pg->copied->behind != PG_OK)
        *error = (struct pg_error){.sqlstate = "XX000", .text = "a fault of the test"};
    if (*over)
        return pg->copied->behind;
    for (int i = 0; i < count; i++)
        fields[i] = pg_get_field(pg->copied, pg->next, i);
    pg->next++;
    return PG_OK;
}

int64_t pg_field_int(const struct pg_field *field)
{
    uint64_t value = field->size > 0 && (*field->at & 0x80) ? UINT64_MAX : 0; /* the sign */
    for (size_t i = 0; i < field->size; i++)
        value = value << 8 | (unsigned char)field->at[i];
    return (int64_t)value;
}

int64_t pg_field_timestamp_us(const struct pg_field *field)
{
    return pg_field_int(field) + PG_EPOCH_US;
}
