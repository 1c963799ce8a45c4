/* Making filters and twins at random, and writing them. */
#include "tests/unit/filter_reference.h"

#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

#define PICK(random, list) ((list)[random_below((random), sizeof(list) / sizeof *(list))])

static const char *const number_paths[] = {
    "state|battery|remaining", "state|battery|voltage", "state|health|errors", "meta|rank",
    "desired|speed",           "reported|speed",        "revision|desired",    "delta|speed",
    "state|position|alt"};
static const char *const string_paths[] = {"state|mode|mode",
                                           "meta|site",
                                           "meta|my site",
                                           "desired|mode",
                                           "reported|mode",
                                           "presence|status",
                                           "vid",
                                           "region",
                                           "state|battery.cells|worst"};
static const char *const other_paths[] = {"state|mode|armed",
                                          "state|position|heading",
                                          "meta|tags",
                                          "meta",
                                          "delta",
                                          "state",
                                          "meta|nothing",
                                          "state|nothing|x",
                                          "presence",
                                          "state|battery",
                                          "vid|x",
                                          "delta_since",
                                          "presence|since",
                                          "revision",
                                          "meta|deep|er"};
static const char *const time_paths[] = {"presence|last_seen", "presence|since", "delta_since"};
static const char *const geo_paths[] = {"state|position", "state|position", "state|position",
                                        "meta|base", "meta"};
static const char *const ages[] = {"state|position",     "state|battery",  "state|mode", "delta",
                                   "presence|last_seen", "presence|since", "delta_since"};
static const char *const numbers[] = {"0", "0.25", "25e-2", "0.5", "0.50", "5E-1",
                                      "1", "1.0",  "2",     "3",   "-1",   "-0",
                                      "7", "12",   "11.5",  "1e1", "100",  "0.7"};
static const char *const strings[] = {
    "\"AUTO\"",   "\"RTL\"",      "\"A*\"",     "\"*L\"",     "\"*T*\"",        "\"*\"",
    "\"oslo\"",   "\"oslo-*\"",   "\"o*o\"",    "\"oslo-1\"", "\"online\"",     "\"o*line\"",
    "\"*line\"",  "\"V-*\"",      "\"V-1*\"",   "\"\"",       "\"\\\\*\"",      "\"\\\\*a\"",
    "\"a\\\\*\"", "\"*\\\\*\"",   "\"\\\\**\"", "\"north\"",  "\"\\u0041UTO\"", "\"é\"",
    "\"*é\"",     "\"\\u00e9*\"", "\"a\"",      "\"mode\"",   "\"speed\"",      "\"**\""};
static const char *const words[] = {"true", "false", "null"};
static const char *const durations[] = {"1s",  "5s", "10s", "0.5m", "1.5m",
                                        "60s", "1h", "2d",  "30s"};
static const char *const times[] = {"\"2026-01-15T10:29:55Z\"", "\"2026-01-15T10:29:30Z\"",
                                    "\"2026-01-15T11:29:30.000+01:00\"", "\"2026-01-15T10:29:00Z\"",
                                    "\"2026-01-15T10:29:50.5Z\""};
static const char *const comparisons[] = {"=", "!=", "<", "<=", ">", ">="};

static struct reference *node(enum kind kind)
{
    struct reference *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    made->kind = kind;
    return made;
}

static struct operand path_operand(const char *path)
{
    return (struct operand){.kind = PATH, .path = path};
}

static const char *any_literal(struct random *random)
{
    switch (random_below(random, 4)) {
    case 0:
        return PICK(random, numbers);
    case 1:
        return PICK(random, words);
    default:
        return PICK(random, strings);
    }
}

static struct operand literal(const char *json)
{
    return (struct operand){.kind = LITERAL, .json = json};
}

/* Multiples of an eighth, so that all arithmetic here is exact. */
static double eighths(struct random *random, int from, int to)
{
    return from + random_below(random, (unsigned)(to - from) * 8 + 1) / 8.0;
}

static struct operand distance(struct random *random)
{
    return (struct operand){.kind = DISTANCE,
                            .path = PICK(random, geo_paths),
                            .lat = eighths(random, 57, 62),
                            .lon = eighths(random, 8, 13)};
}

/* Both sides of a comparison, of types that the text does not show to be senseless. */
static void make_sides(struct random *random, struct reference *made)
{
    static const char *const metres[] = {"50000", "1e5", "150000", "200000", "300000.5"};
    switch (random_below(random, 12)) {
    case 0:
        made->left = (struct operand){.kind = AGE, .path = PICK(random, ages)};
        made->right = (struct operand){.kind = DURATION, .json = PICK(random, durations)};
        if (random_below(random, 4) == 0)
            made->right = (struct operand){.kind = AGE, .path = PICK(random, ages)};
        break;
    case 1:
        made->left = distance(random);
        made->right = literal(PICK(random, metres));
        if (random_below(random, 5) == 0)
            made->right = distance(random);
        break;
    case 2:
        made->left = path_operand(PICK(random, time_paths));
        made->right = literal(random_below(random, 5) == 0 ? "null" : PICK(random, times));
        break;
    case 3:
        made->left = path_operand(PICK(random, other_paths));
        made->right = literal(PICK(random, words));
        break;
    case 4:
        made->left = path_operand(random_below(random, 2) ? "desired|mode" : "meta|installed");
        made->right =
            path_operand(random_below(random, 2) ? "reported|mode" : "presence|last_seen");
        break;
    case 5:
        made->left = path_operand("desired|speed");
        made->right = path_operand(PICK(random, number_paths));
        break;
    case 6:
        made->left = path_operand(random_below(random, 2) ? PICK(random, string_paths)
                                                          : PICK(random, number_paths));
        made->right = literal(any_literal(random));
        break;
    case 7:
    case 8:
    case 9:
        made->left = path_operand(PICK(random, number_paths));
        made->right = literal(PICK(random, numbers));
        break;
    default:
        made->left = path_operand(PICK(random, string_paths));
        made->right = literal(PICK(random, strings));
    }
}

static struct reference *make_comparison(struct random *random)
{
    struct reference *made = node(COMPARE);
    made->comparison = PICK(random, comparisons);
    do {
        make_sides(random, made);
        /* What the text shows to be senseless is another test's. */
    } while (made->left.kind == PATH && reference_is_time(made->left.path) &&
             made->right.kind == LITERAL && made->right.json[0] != 'n' &&
             !strstr(made->right.json, "2026"));
    if (random_below(random, 5) == 0) {
        struct operand left = made->left;
        made->left = made->right;
        made->right = left;
    }
    return made;
}

static void make_ring(struct random *random, struct ring *ring, double lon, double lat, double size)
{
    /* A simple ring: a box, some corners cut. */
    static const double corners[][2] = {{-1, -0.5}, {-0.5, -1}, {0.5, -1}, {1, -0.5},
                                        {1, 0.5},   {0.5, 1},   {-0.5, 1}, {-1, 0.5}};
    unsigned skipped = random_below(random, 256);
    ring->count = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (ring->count + 8 - (int)i > 4 && (skipped >> i & 1))
            continue;
        ring->lon[ring->count] = lon + size * corners[i][0];
        ring->lat[ring->count++] = lat + size * corners[i][1];
    }
    ring->lon[ring->count] = ring->lon[0];
    ring->lat[ring->count++] = ring->lat[0];
}

static struct reference *make_term(struct random *random)
{
    static const char *const groups[] = {"odd", "odd", "none"};
    struct reference *made;
    double lon = eighths(random, 9, 12), lat = eighths(random, 58, 61);
    switch (random_below(random, 16)) {
    case 0:
    case 1:
        made = node(HAS_ANY);
        made->left = path_operand(random_below(random, 2)   ? PICK(random, other_paths)
                                  : random_below(random, 2) ? PICK(random, string_paths)
                                                            : PICK(random, number_paths));
        return made;
    case 2:
        made = node(HAS);
        made->left =
            path_operand(random_below(random, 3) ? "meta|tags" : PICK(random, other_paths));
        made->right =
            literal(reference_is_time(made->left.path) ? PICK(random, times) : any_literal(random));
        return made;
    case 3:
        made = node(INSIDE);
        made->left = path_operand(PICK(random, geo_paths));
        make_ring(random, &made->outer, lon, lat, 2);
        if (random_below(random, 2))
            make_ring(random, &made->hole, lon, lat, 0.5);
        return made;
    case 4:
        made = node(BBOX);
        made->left = path_operand(PICK(random, geo_paths));
        made->box[0] = lon - 1, made->box[2] = lon + 1;
        made->box[1] = lat - 1, made->box[3] = lat + 1;
        if (random_below(random, 4) == 0)
            made->box[0] = lon + 0.5, made->box[2] = lon - 0.5;
        return made;
    case 5:
        made = node(GROUP);
        made->group = PICK(random, groups);
        return made;
    default:
        return make_comparison(random);
    }
}

static struct reference *make(struct random *random, int depth)
{
    unsigned choice = random_below(random, 10);
    if (depth == 0 || choice < 5)
        return make_term(random);
    struct reference *made = node(choice < 6 ? NOT : choice < 8 ? AND : OR);
    made->child_count = made->kind == NOT ? 1 : 2 + (int)random_below(random, CHILDREN_MAX - 1);
    for (int i = 0; i < made->child_count; i++)
        made->children[i] = make(random, depth - 1);
    return made;
}

struct reference *reference_filter(struct random *random)
{
    return make(random, 3);
}

void reference_free(struct reference *filter)
{
    for (int i = 0; i < filter->child_count; i++)
        reference_free(filter->children[i]);
    free(filter);
}

/* ---- writing ---- */

static void space(struct random *random, struct buf *out)
{
    while (random_below(random, 4) == 0)
        buf_addc(out, " \t\n"[random_below(random, 3)]);
}

static void write_path(struct random *random, struct buf *out, const char *path)
{
    bool first = true;
    while (*path) {
        size_t size = strcspn(path, "|");
        bool plain = strspn(path, "abcdefghijklmnopqrstuvwxyz_") >= size;
        if (!first)
            buf_addc(out, '.');
        if (plain && random_below(random, 6))
            buf_add(out, path, size);
        else
            buf_json_string(out, path, size);
        /* Alone, a quoted name is a string. */
        if (first && path[size] == '\0' && out->data[out->size_bytes - 1] == '"') {
            out->size_bytes -= size + 2;
            buf_add(out, path, size);
        }
        first = false;
        path += size + (path[size] == '|');
    }
}

static void write_operand(struct random *random, struct buf *out, const struct operand *operand)
{
    switch (operand->kind) {
    case LITERAL:
    case DURATION:
        buf_adds(out, operand->json);
        break;
    case PATH:
        write_path(random, out, operand->path);
        break;
    case DISTANCE:
        buf_adds(out, "distance(");
        write_path(random, out, operand->path);
        buf_addf(out, ",%s%.17g, %.17g)", random_below(random, 2) ? " " : "", operand->lat,
                 operand->lon);
        break;
    case AGE:
        buf_adds(out, "age(");
        write_path(random, out, operand->path);
        buf_addc(out, ')');
        break;
    }
}

static void write_ring(struct buf *out, const struct ring *ring)
{
    buf_addc(out, '(');
    for (int i = 0; i < ring->count; i++)
        buf_addf(out, "%s%.17g %.17g", i ? ", " : "", ring->lon[i], ring->lat[i]);
    buf_addc(out, ')');
}

static void write_inside(struct random *random, struct buf *out, const struct reference *filter)
{
    bool multi = random_below(random, 2);
    buf_adds(out, "inside(");
    write_path(random, out, filter->left.path);
    buf_adds(out, multi ? ",\"MULTIPOLYGON(((1 1,2 1,2 2,1 1)),(" : ", \"POLYGON (");
    write_ring(out, &filter->outer);
    if (filter->hole.count) {
        buf_addc(out, ',');
        write_ring(out, &filter->hole);
    }
    buf_adds(out, multi ? "))\")" : ")\")");
}

static void write_term(struct random *random, struct buf *out, const struct reference *filter)
{
    switch (filter->kind) {
    case HAS_ANY:
        write_path(random, out, filter->left.path);
        buf_adds(out, ":*");
        break;
    case HAS:
        write_path(random, out, filter->left.path);
        space(random, out);
        buf_addc(out, ':');
        space(random, out);
        buf_adds(out, filter->right.json);
        break;
    case INSIDE:
        write_inside(random, out, filter);
        break;
    case BBOX:
        buf_adds(out, "bbox(");
        write_path(random, out, filter->left.path);
        for (int i = 0; i < 4; i++)
            buf_addf(out, ", %.17g", filter->box[i]);
        buf_addc(out, ')');
        break;
    case GROUP:
        buf_addf(out, "group( \"%s\")", filter->group);
        break;
    default:
        write_operand(random, out, &filter->left);
        buf_addc(out, ' ');
        buf_adds(out, filter->comparison);
        space(random, out);
        write_operand(random, out, &filter->right);
    }
}

void reference_write(struct random *random, struct buf *out, const struct reference *filter)
{
    space(random, out);
    if (random_below(random, 8) == 0 && filter->kind > NOT) {
        buf_addc(out, '(');
        write_term(random, out, filter);
        buf_addc(out, ')');
    } else if (filter->kind > NOT) {
        write_term(random, out, filter);
    } else {
        if (filter->kind == NOT)
            buf_adds(out, random_below(random, 2) ? "NOT " : "- ");
        for (int i = 0; i < filter->child_count; i++) {
            bool parens = filter->children[i]->kind < NOT;
            if (i > 0)
                buf_adds(out, filter->kind == AND ? " AND " : " OR ");
            if (parens)
                buf_addc(out, '(');
            reference_write(random, out, filter->children[i]);
            if (parens)
                buf_addc(out, ')');
        }
    }
    space(random, out);
}

/* ---- twins ---- */

static void maybe(struct random *random, struct buf *out, const char *name,
                  const char *const *values, unsigned count)
{
    if (random_below(random, 5) == 0)
        return;
    buf_addf(out, "%s\"%s\":%s", out->data[out->size_bytes - 1] == '{' ? "" : ",", name,
             values[random_below(random, count)]);
}
#define MAYBE(random, out, name, ...)                                                              \
    maybe(random, out, name, (const char *const[]){__VA_ARGS__},                                   \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void open(struct buf *out, const char *name)
{
    if (out->data[out->size_bytes - 1] != '{')
        buf_addc(out, ',');
    buf_addf(out, "\"%s\":{", name);
}

static void write_states(struct random *random, struct buf *out)
{
    open(out, "state");
    open(out, "position");
    if (random_below(random, 6))
        buf_addf(out, "\"lat\":%g,\"lon\":%g", eighths(random, 58, 61), eighths(random, 9, 12));
    MAYBE(random, out, "alt", "0.5", "12", "1e1", "100", "\"high\"");
    MAYBE(random, out, "heading", "null", "0", "90");
    buf_addc(out, '}');
    if (random_below(random, 6)) {
        open(out, "battery");
        MAYBE(random, out, "remaining", "0.25", "0.5", "5e-1", "0.7", "1", "0", "null", "\"0.5\"");
        MAYBE(random, out, "voltage", "11.5", "12", "12.0", "10");
        buf_addc(out, '}');
    }
    open(out, "mode");
    MAYBE(random, out, "mode", "\"AUTO\"", "\"RTL\"", "\"*\"", "\"\"", "null");
    MAYBE(random, out, "armed", "true", "false");
    buf_addc(out, '}');
    open(out, "battery.cells");
    MAYBE(random, out, "worst", "\"a\"", "\"north\"", "\"\\u00e9\"");
    buf_addc(out, '}');
    if (random_below(random, 2)) {
        open(out, "health");
        MAYBE(random, out, "errors", "0", "1", "2", "3", "-1");
        buf_addc(out, '}');
    }
    buf_addc(out, '}');
    open(out, "received");
    MAYBE(random, out, "position", "0", "1", "5", "10", "30.5", "60");
    MAYBE(random, out, "battery", "0.5", "5", "90", "3600");
    buf_addc(out, '}');
}

static void write_meta(struct random *random, struct buf *out)
{
    open(out, "meta");
    MAYBE(random, out, "site", "\"oslo\"", "\"oslo-1\"", "\"oslo-*\"", "\"o*o\"", "7", "\"a*\"");
    MAYBE(random, out, "my site", "\"north\"", "\"*a\"", "\"AUTO\"");
    MAYBE(random, out, "rank", "1", "1.0", "2", "7", "\"7\"", "[1]");
    MAYBE(random, out, "tags", "[]", "[\"a\",\"mode\"]", "[1,2,0.5]", "[null,true]", "{\"a\":1}",
          "\"a\"", "{}", "[[\"a\"],{\"a\":1}]");
    MAYBE(random, out, "deep", "{\"er\":1}", "{\"er\":{}}", "{\"er\":\"a\"}");
    MAYBE(random, out, "installed", "\"2026-01-15T10:29:55Z\"", "\"2026-01-15T10:29:00Z\"",
          "\"some day\"", "12");
    if (random_below(random, 3) == 0)
        buf_addf(out, "%s\"base\":{\"lat\":%g,\"lon\":%g}",
                 out->data[out->size_bytes - 1] == '{' ? "" : ",", eighths(random, 58, 61),
                 eighths(random, 9, 12));
    buf_addc(out, '}');
}

static void write_shadow(struct random *random, struct buf *out, const char *name)
{
    open(out, name);
    MAYBE(random, out, "mode", "\"AUTO\"", "\"RTL\"", "\"oslo\"");
    MAYBE(random, out, "speed", "1", "1.0", "2", "12", "\"12\"", "0.5");
    buf_addc(out, '}');
}

void reference_twin(struct random *random, struct buf *out, unsigned number)
{
    buf_addf(out, "{\"vid\":\"V-%u\"", number);
    MAYBE(random, out, "status", "\"online\"", "\"online\"", "\"stale\"", "\"offline\"");
    MAYBE(random, out, "seen", "0", "5", "30", "60", "9.5");
    MAYBE(random, out, "since", "5", "60", "3600");
    MAYBE(random, out, "delta_since", "1", "30", "90");
    MAYBE(random, out, "revision", "7", "2", "100");
    write_states(random, out);
    if (random_below(random, 4))
        write_shadow(random, out, "desired");
    if (random_below(random, 3))
        write_shadow(random, out, "reported");
    if (random_below(random, 5))
        write_meta(random, out);
    buf_addc(out, '}');
}
