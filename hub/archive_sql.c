#include "hub/archive_sql.h"

#include "hub/pg.h"

#include <math.h>
#include <string.h>

enum { VEHICLE_PATTERNS_MAX = 32 }; /* of a viewer's scopes; more are left to the judge */

enum sort { SORT_TEXT, SORT_NUMBER, SORT_TIME };

/* Columns that hold exactly what the member of the record says, so that equal there is equal
 * here. */
static const struct column {
    const char *name;
    enum sort sort;
    bool indexed; /* together with seq */
} columns[] = {
    {"seq", SORT_NUMBER, false},
    {"kind", SORT_TEXT, true},
    {"vid", SORT_TEXT, true},
    {"type", SORT_TEXT, true},
    {"severity", SORT_TEXT, false},
    {"actor", SORT_TEXT, false},
    {"request_id", SORT_TEXT, false},
    {"stream", SORT_TEXT, false},
    {"vehicle_seq", SORT_NUMBER, false},
    {"stream_seq", SORT_NUMBER, false},
    {"timestamp", SORT_TIME, false},
    {"received", SORT_TIME, false},
    {"archived", SORT_TIME, false},
};

static const struct column *column_of(const struct path *path)
{
    struct slice root = path_name(path, 0);
    if (path_name(path, 1).at)
        return NULL;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (strlen(columns[i].name) == root.size &&
            memcmp(columns[i].name, root.at, root.size) == 0)
            return &columns[i];
    return NULL;
}

/* ---- what is written ---- */

struct writing {
    struct archive_conditions *out;
    unsigned by_vid, by_type, by_kind, others; /* how many conditions of each */
};

static struct buf *begin(struct writing *writing, const struct column *column, bool equal)
{
    bool indexed = column && column->indexed && equal;
    if (indexed && strcmp(column->name, "vid") == 0)
        writing->by_vid++;
    else if (indexed && strcmp(column->name, "type") == 0)
        writing->by_type++;
    else if (indexed)
        writing->by_kind++;
    else
        writing->others++;
    buf_adds(&writing->out->sql, " AND ");
    return &writing->out->sql;
}

static void add_text(struct writing *writing, const char *name, const char *value)
{
    struct column column = {name, SORT_TEXT, true};
    if (!value)
        return;
    struct buf *sql = begin(writing, &column, true);
    buf_addf(sql, "\"%s\" = ", name);
    pg_literal(sql, value, strlen(value));
}

/* An instant by its microsecond, or an earlier one. */
static void add_instant(struct buf *sql, int64_t ns)
{
    char text[TIMESTAMP_TEXT_BYTES];
    int64_t rest = ns % 1000;
    timestamp_format(ns - (rest < 0 ? rest + 1000 : rest), text);
    buf_addf(sql, "'%s'::timestamptz", text);
}

/* Near the ends of what 64 bits hold a microsecond may lie beyond. */
static bool is_far(int64_t ns)
{
    return ns < TIMESTAMP_MIN + 1000 || ns > TIMESTAMP_MAX - 1000;
}

static void add_time(struct writing *writing, const char *name, const char *compare, int64_t ns)
{
    if (ns == TIMESTAMP_NONE || is_far(ns))
        return;
    struct buf *sql = begin(writing, NULL, false);
    buf_addf(sql, "\"%s\" %s ", name, compare);
    add_instant(sql, ns);
}

/* ---- conditions of the filter ---- */

static bool is_plain(const struct value *value)
{
    return value->type == VALUE_STRING &&
           !memchr(value->string.at ? value->string.at : "", '\0', value->string.size);
}

static void narrow(struct archive_conditions *out, int64_t low, int64_t high)
{
    out->first_seq = low > out->first_seq ? low : out->first_seq;
    out->last_seq = high < out->last_seq ? high : out->last_seq;
}

/* Equal to one of some texts; what is no text is equal to none. */
static void add_one_of(struct writing *writing, const struct column *column,
                       const struct filter_condition *condition)
{
    size_t texts = 0;
    for (size_t i = 0; i < condition->value_count; i++) {
        const struct value *value = condition->values[i];
        if (value->type == VALUE_NULL || (value->type == VALUE_STRING && !is_plain(value)))
            return; /* the judge's */
        texts += value->type == VALUE_STRING;
    }
    if (texts == 0) {
        narrow(writing->out, INT64_MAX, INT64_MIN);
        return;
    }
    struct buf *sql = begin(writing, column, texts == 1);
    buf_addf(sql, texts == 1 ? "\"%s\" = " : "\"%s\" IN (", column->name);
    bool first = true;
    for (size_t i = 0; i < condition->value_count; i++) {
        const struct value *value = condition->values[i];
        if (value->type != VALUE_STRING)
            continue;
        buf_adds(sql, first ? "" : ", ");
        pg_literal(sql, value->string.at, value->string.size);
        first = false;
    }
    buf_adds(sql, texts == 1 ? "" : ")");
}

static void add_text_condition(struct writing *writing, const struct column *column,
                               const struct filter_condition *condition)
{
    static const char *const compare[] = {
        [FILTER_BEGINS] = "^@", [FILTER_NOT] = "<>",  [FILTER_BELOW] = "<",
        [FILTER_UP_TO] = "<=",  [FILTER_ABOVE] = ">", [FILTER_FROM] = ">="};
    const struct value *value = condition->values[0];
    if (condition->relation == FILTER_ONE_OF) {
        add_one_of(writing, column, condition);
        return;
    }
    if (!is_plain(value))
        return;
    struct buf *sql = begin(writing, NULL, false);
    buf_addf(sql, "\"%s\" COLLATE \"C\" %s ", column->name, compare[condition->relation]);
    pg_literal(sql, value->string.at, value->string.size);
}

/* The whole numbers below and above it; false where it is too large to say. */
static bool bounds_of(const struct value *value, int64_t *low, int64_t *high)
{
    static const double exact = 9007199254740992.0; /* 2^53 */
    if (value->type != VALUE_NUMBER)
        return false;
    if (value->form == NUMBER_DECIMAL && value->exponent == 0) {
        *low = *high = value->mantissa;
        return true;
    }
    if (!(fabs(value->number) < exact))
        return false;
    *low = (int64_t)floor(value->number);
    *high = (int64_t)ceil(value->number);
    return true;
}

static void add_number_condition(struct writing *writing, const struct column *column,
                                 const struct filter_condition *condition)
{
    int64_t low, high;
    if (condition->value_count != 1 || condition->relation == FILTER_NOT ||
        !bounds_of(condition->values[0], &low, &high))
        return;
    if (condition->relation == FILTER_BELOW || condition->relation == FILTER_UP_TO)
        low = INT64_MIN;
    if (condition->relation == FILTER_ABOVE || condition->relation == FILTER_FROM)
        high = INT64_MAX;
    if (strcmp(column->name, "seq") == 0) {
        narrow(writing->out, low, high);
        return;
    }
    struct buf *sql = begin(writing, NULL, false);
    buf_addf(sql, "\"%s\" BETWEEN %lld AND %lld", column->name, (long long)low, (long long)high);
}

static void add_time_condition(struct writing *writing, const struct column *column,
                               const struct filter_condition *condition)
{
    const struct value *value = condition->values[0];
    if (condition->value_count != 1 || value->type != VALUE_TIME)
        return;
    switch (condition->relation) {
    case FILTER_ONE_OF:
        add_time(writing, column->name, "=", value->ns);
        break;
    case FILTER_BELOW:
    case FILTER_UP_TO:
        add_time(writing, column->name, "<=", value->ns);
        break;
    case FILTER_ABOVE:
    case FILTER_FROM:
        add_time(writing, column->name, ">=", value->ns);
        break;
    default:
        break;
    }
}

static void add_filter(struct writing *writing, const struct record_question *question)
{
    struct filter_condition condition;
    size_t at = 0;
    while (question->filter &&
           filter_next_condition(question->filter, &at, question->now_ns, &condition)) {
        const struct column *column = column_of(condition.path);
        if (!column)
            continue;
        if (column->sort == SORT_TEXT)
            add_text_condition(writing, column, &condition);
        else if (column->sort == SORT_NUMBER)
            add_number_condition(writing, column, &condition);
        else
            add_time_condition(writing, column, &condition);
    }
}

/* ---- the viewer ---- */

static size_t patterns_of(const struct viewer *viewer)
{
    size_t count = 0;
    for (size_t i = 0; i < viewer->scope_count; i++) {
        if (!viewer->scopes[i].vehicles.given)
            return SIZE_MAX;
        count += viewer->scopes[i].vehicles.count;
    }
    return count;
}

static void add_pattern(struct buf *sql, const char *pattern, bool first)
{
    size_t size = strlen(pattern);
    bool prefix = size > 0 && pattern[size - 1] == '*';
    buf_adds(sql, first ? "" : " OR ");
    if (size == 1 && prefix) {
        buf_adds(sql, "true");
        return;
    }
    buf_adds(sql, prefix ? "vid ^@ " : "vid = ");
    pg_literal(sql, pattern, size - prefix);
}

/* The vehicles that the viewer sees, where they are few patterns. */
static void add_viewer(struct writing *writing, const struct viewer *viewer)
{
    size_t count = patterns_of(viewer);
    bool first = true;
    if (count > VEHICLE_PATTERNS_MAX)
        return;
    struct buf *sql = begin(writing, NULL, false);
    buf_addc(sql, '(');
    for (size_t i = 0; i < viewer->scope_count; i++)
        for (size_t k = 0; k < viewer->scopes[i].vehicles.count; k++) {
            add_pattern(sql, viewer->scopes[i].vehicles.patterns[k], first);
            first = false;
        }
    buf_adds(sql, first ? "false)" : ")");
}

/* ---- the whole ---- */

bool archive_conditions_init(struct archive_conditions *conditions,
                             const struct record_question *question)
{
    struct writing writing = {.out = conditions};
    *conditions = (struct archive_conditions){.first_seq = INT64_MIN, .last_seq = INT64_MAX};
    add_text(&writing, "vid", question->vid);
    add_text(&writing, "type", question->type);
    add_text(&writing, "kind", question->by_kind ? record_kind_name(question->kind) : NULL);
    /* The index by kind has no events in it; the planner has to know that none are wanted. */
    if (question->by_kind && question->kind != RECORD_EVENT)
        buf_adds(&conditions->sql, " AND kind <> 'event'");
    add_time(&writing, "received", ">=", question->start_ns);
    add_time(&writing, "received", "<=", question->end_ns);
    add_filter(&writing, question);
    add_viewer(&writing, question->viewer);
    /* Of a vehicle there are never so many that its type or kind could not be looked at; events
     * are nearly all there is. */
    bool by_kind = writing.by_kind > 0 && !writing.by_type;
    bool by_type = writing.by_type > 0 && !writing.by_kind;
    conditions->by_index = writing.others == 0 && (conditions->sql.size_bytes == 0 ||
                                                   writing.by_vid > 0 || by_kind || by_type);
    return !conditions->sql.failed;
}

void archive_conditions_done(struct archive_conditions *conditions)
{
    buf_done(&conditions->sql);
}
