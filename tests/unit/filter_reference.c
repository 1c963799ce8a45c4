#include "tests/unit/filter_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool reference_is_time(const char *path)
{
    return strcmp(path, "presence|last_seen") == 0 || strcmp(path, "presence|since") == 0 ||
           strcmp(path, "delta_since") == 0;
}

enum type { MISSING, JSON, TIME, SPAN };

struct found {
    enum type type;
    json_t *json; /* borrowed */
    int64_t ns;   /* TIME, SPAN */
};

/* 2026-01-15T10:30:00.123Z or with an offset. */
static bool read_time(const char *text, int64_t *ns)
{
    struct tm tm = {0};
    int used = 0, hours = 0, minutes = 0;
    double fraction = 0;
    if (sscanf(text, "%d-%d-%dT%d:%d:%d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) != 6)
        return false;
    text += used;
    if (*text == '.') {
        char *end;
        fraction = strtod(text, &end);
        text = end;
    }
    if (*text == '+' && sscanf(text, "+%d:%d", &hours, &minutes) != 2)
        return false;
    if (*text != '+' && *text != 'Z')
        return false;
    tm.tm_year -= 1900, tm.tm_mon -= 1;
    *ns = ((int64_t)timegm(&tm) - hours * 3600 - minutes * 60) * 1000000000 +
          (int64_t)(fraction * 1e9 + 0.5);
    return true;
}

static json_t *walk(json_t *at, const char *path)
{
    while (at && *path) {
        char name[64] = "";
        size_t size = strcspn(path, "|");
        memcpy(name, path, size);
        at = json_is_object(at) ? json_object_get(at, name) : NULL;
        path += size + (path[size] == '|');
    }
    return at;
}

static struct found find_age(const char *path, json_t *twin, int64_t now_ns)
{
    char full[128];
    struct found found = {.type = MISSING};
    int64_t since_ns;
    if (strncmp(path, "state|", 6) == 0)
        snprintf(full, sizeof full, "metadata|%s|received", path);
    else
        snprintf(full, sizeof full, "%s", strcmp(path, "delta") == 0 ? "delta_since" : path);
    json_t *since = walk(twin, full);
    if (json_is_string(since) && read_time(json_string_value(since), &since_ns))
        found = (struct found){.type = SPAN, .ns = now_ns - since_ns};
    return found;
}

/* The textbook's haversine. */
static double metres(double lat1, double lon1, double lat2, double lon2)
{
    const double rad = acos(-1) / 180;
    double a = pow(sin((lat2 - lat1) * rad / 2), 2) +
               cos(lat1 * rad) * cos(lat2 * rad) * pow(sin((lon2 - lon1) * rad / 2), 2);
    return 2 * 6371008.8 * atan2(sqrt(a), sqrt(1 - a));
}

static bool place(json_t *twin, const char *path, double *lat, double *lon)
{
    json_t *at = walk(twin, path);
    json_t *y = json_object_get(at, "lat"), *x = json_object_get(at, "lon");
    *lat = json_number_value(y), *lon = json_number_value(x);
    return json_is_number(y) && json_is_number(x);
}

/* A JSON value made for this one question is kept in *made. */
static struct found find(const struct operand *operand, json_t *twin, int64_t now_ns, json_t **made)
{
    struct found found = {.type = MISSING};
    double lat, lon, number;
    char unit;
    switch (operand->kind) {
    case LITERAL:
        *made = json_loads(operand->json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        return (struct found){.type = JSON, .json = *made};
    case DURATION:
        if (sscanf(operand->json, "%lf%c", &number, &unit) != 2)
            abort();
        number *= unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : 86400;
        return (struct found){.type = SPAN, .ns = (int64_t)(number * 1e9)};
    case AGE:
        return find_age(operand->path, twin, now_ns);
    case DISTANCE:
        if (place(twin, operand->path, &lat, &lon)) {
            *made = json_real(metres(operand->lat, operand->lon, lat, lon));
            found = (struct found){.type = JSON, .json = *made};
        }
        return found;
    case PATH:
        found.json = walk(twin, operand->path);
        if (found.json)
            found.type = JSON;
        if (json_is_string(found.json) && reference_is_time(operand->path) &&
            read_time(json_string_value(found.json), &found.ns))
            found.type = TIME;
        return found;
    }
    return found;
}

static bool by_order(int order, const char *comparison)
{
    if (strcmp(comparison, "=") == 0)
        return order == 0;
    if (strcmp(comparison, "!=") == 0)
        return order != 0;
    if (strcmp(comparison, "<") == 0)
        return order < 0;
    if (strcmp(comparison, "<=") == 0)
        return order <= 0;
    if (strcmp(comparison, ">") == 0)
        return order > 0;
    return order >= 0;
}

static bool is_equality(const char *comparison)
{
    return strcmp(comparison, "=") == 0 || strcmp(comparison, "!=") == 0;
}

/* The pattern one piece at a time: an optional wildcard or star at either end. */
static bool glob(const char *pattern, const char *text)
{
    size_t from = 0, to = strlen(pattern), size = strlen(text);
    bool any_first = false, any_last = false, found = false;
    char piece[128] = "";
    if (to > 0 && pattern[0] == '*')
        any_first = true, from = 1;
    else if (to > 1 && pattern[0] == '\\' && pattern[1] == '*')
        strcat(piece, "*"), from = 2;
    bool star_last = to > from && pattern[to - 1] == '*';
    bool escaped = star_last && to - from > 1 && pattern[to - 2] == '\\';
    if (star_last)
        to -= escaped ? 2 : 1;
    any_last = star_last && !escaped;
    strncat(piece, pattern + from, to - from);
    if (escaped)
        strcat(piece, "*");
    for (size_t start = 0; start + strlen(piece) <= size; start++) {
        bool here = strncmp(text + start, piece, strlen(piece)) == 0;
        bool fits = (any_first || start == 0) && (any_last || start + strlen(piece) == size);
        found = found || (here && fits);
    }
    return found;
}

static bool compare_json(json_t *a, json_t *b, const char *comparison, bool pattern)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return by_order((x > y) - (x < y), comparison);
    }
    if (json_is_string(a) && json_is_string(b)) {
        if (pattern && is_equality(comparison))
            return glob(json_string_value(b), json_string_value(a)) ==
                   (strcmp(comparison, "=") == 0);
        return by_order(strcmp(json_string_value(a), json_string_value(b)), comparison);
    }
    if (json_is_boolean(a) && json_is_boolean(b))
        return is_equality(comparison) &&
               (json_is_true(a) == json_is_true(b)) == (strcmp(comparison, "=") == 0);
    return json_is_null(a) && json_is_null(b) && strcmp(comparison, "=") == 0;
}

static void make_time(struct found *found, const struct found *beside)
{
    int64_t ns;
    if (beside->type == TIME && found->type == JSON && json_is_string(found->json) &&
        read_time(json_string_value(found->json), &ns))
        *found = (struct found){.type = TIME, .ns = ns};
}

static bool compare(struct found a, struct found b, const char *comparison, bool pattern)
{
    make_time(&a, &b);
    make_time(&b, &a);
    if (a.type != b.type || a.type == MISSING)
        return false;
    if (a.type == JSON)
        return compare_json(a.json, b.json, comparison, pattern);
    return by_order((a.ns > b.ns) - (a.ns < b.ns), comparison);
}

static bool has_any(json_t *at)
{
    if (!at || json_is_null(at))
        return false;
    if (json_is_object(at))
        return json_object_size(at) > 0;
    return !json_is_array(at) || json_array_size(at) > 0;
}

static bool has(struct found at, struct found value)
{
    if (json_is_object(at.json))
        return json_is_string(value.json) &&
               json_object_get(at.json, json_string_value(value.json));
    if (!json_is_array(at.json))
        return compare(at, value, "=", false);
    bool any = false;
    for (size_t i = 0; i < json_array_size(at.json); i++)
        any = any || compare_json(json_array_get(at.json, i), value.json, "=", false);
    return any;
}

static bool on_edge(const struct ring *ring, double x, double y)
{
    for (int i = 1; i < ring->count; i++) {
        double ax = ring->lon[i - 1], ay = ring->lat[i - 1], bx = ring->lon[i], by = ring->lat[i];
        if ((bx - ax) * (y - ay) == (by - ay) * (x - ax) && x >= fmin(ax, bx) &&
            x <= fmax(ax, bx) && y >= fmin(ay, by) && y <= fmax(ay, by))
            return true;
    }
    return false;
}

/* Edges above the point, looking north. */
static bool within(const struct ring *ring, double x, double y)
{
    int above = 0;
    for (int i = 1; i < ring->count; i++) {
        double ax = ring->lon[i - 1], ay = ring->lat[i - 1], bx = ring->lon[i], by = ring->lat[i];
        if ((ax <= x) != (bx <= x) && ay + (by - ay) * ((x - ax) / (bx - ax)) > y)
            above++;
    }
    return above % 2 == 1;
}

static bool geo(const struct reference *filter, json_t *twin)
{
    double lat, lon;
    if (!place(twin, filter->left.path, &lat, &lon))
        return false;
    if (filter->kind == BBOX) {
        const double *box = filter->box;
        bool east = lon >= box[0], west = lon <= box[2];
        return lat >= box[1] && lat <= box[3] && (box[0] <= box[2] ? east && west : east || west);
    }
    if (on_edge(&filter->outer, lon, lat) || on_edge(&filter->hole, lon, lat))
        return true;
    return within(&filter->outer, lon, lat) && !within(&filter->hole, lon, lat);
}

static bool in_group(const char *group, json_t *twin)
{
    const char *vid = json_string_value(json_object_get(twin, "vid"));
    return strcmp(group, "odd") == 0 && *vid && (vid[strlen(vid) - 1] & 1);
}

static bool term(const struct reference *filter, json_t *twin, int64_t now_ns)
{
    json_t *made_left = NULL, *made_right = NULL;
    struct found left = find(&filter->left, twin, now_ns, &made_left);
    struct found right = find(&filter->right, twin, now_ns, &made_right);
    bool result = filter->kind == HAS
                      ? has(left, right)
                      : compare(left, right, filter->comparison, filter->right.kind == LITERAL);
    json_decref(made_left);
    json_decref(made_right);
    return result;
}

bool reference_matches(const struct reference *filter, json_t *twin, int64_t now_ns)
{
    bool all = true, any = false;
    switch (filter->kind) {
    case AND:
    case OR:
        for (int i = 0; i < filter->child_count; i++) {
            bool one = reference_matches(filter->children[i], twin, now_ns);
            all = all && one, any = any || one;
        }
        return filter->kind == AND ? all : any;
    case NOT:
        return !reference_matches(filter->children[0], twin, now_ns);
    case HAS_ANY:
        return has_any(walk(twin, filter->left.path));
    case INSIDE:
    case BBOX:
        return geo(filter, twin);
    case GROUP:
        return in_group(filter->group, twin);
    case COMPARE:
    case HAS:
        break;
    }
    return term(filter, twin, now_ns);
}
