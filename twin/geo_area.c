/* Areas: WKT read into rings of whole numbers, and the question whether one holds a point. */
#include "twin/geo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX_BYTES = 63, RING_MIN_POINTS = 4, MAX_SPAN_DEGREES = 180 };

/* Units of 1 / GEO_UNITS_PER_DEGREE degrees: half the globe needs 48 bits, and what two
 * differences multiplied need fits 128. */
struct point {
    int64_t x, y;
};

struct ring {
    uint32_t first, count;
    bool hole; /* of the polygon whose outer ring came before */
    struct point min, max;
};

struct geo_area {
    size_t ring_count;
    struct ring *rings;
    struct point *points;
};

static int64_t units(double degrees)
{
    double scaled = degrees * GEO_UNITS_PER_DEGREE;
    return (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* ---- reading ---- */

struct reader {
    const char *text;
    size_t size, at;
    struct geo_area *area;
    size_t points;
    struct text_error *error;
};

static bool fail(struct reader *reader, size_t at, const char *detail)
{
    size_t offset = 0;
    for (size_t i = 0; i < at; i++)
        offset += ((unsigned char)reader->text[i] & 0xc0) != 0x80;
    *reader->error = (struct text_error){.offset = offset};
    snprintf(reader->error->detail, sizeof reader->error->detail, "%s", detail);
    return false;
}

static char next(struct reader *reader)
{
    while (reader->at < reader->size && strchr(" \t\r\n", reader->text[reader->at]) &&
           reader->text[reader->at])
        reader->at++;
    return reader->at < reader->size ? reader->text[reader->at] : '\0';
}

static bool take(struct reader *reader, char c)
{
    if (next(reader) != c)
        return false;
    reader->at++;
    return true;
}

static bool expect(struct reader *reader, char c)
{
    return take(reader, c) ||
           fail(reader, reader->at,
                c == '(' ? "expected ( in the polygon" : "expected ) or a comma in the polygon");
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t size = strlen(word);
    next(reader);
    if (size > reader->size - reader->at)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = reader->text[reader->at + i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c != word[i])
            return false;
    }
    reader->at += size;
    return true;
}

static size_t skip_digits(struct reader *reader)
{
    size_t start = reader->at;
    while (reader->at < reader->size && reader->text[reader->at] >= '0' &&
           reader->text[reader->at] <= '9')
        reader->at++;
    return reader->at - start;
}

static void skip_any(struct reader *reader, const char *one_of)
{
    if (reader->at < reader->size && reader->text[reader->at] &&
        strchr(one_of, reader->text[reader->at]))
        reader->at++;
}

static bool read_number(struct reader *reader, double max, const char *too_far, int64_t *number)
{
    char copy[NUMBER_MAX_BYTES + 1];
    next(reader);
    size_t start = reader->at, digits;
    skip_any(reader, "+-");
    digits = skip_digits(reader);
    if (reader->at < reader->size && reader->text[reader->at] == '.') {
        reader->at++;
        digits += skip_digits(reader);
    }
    if (digits == 0)
        return fail(reader, start, "expected a number in the polygon: longitude latitude, …");
    size_t mantissa_end = reader->at;
    skip_any(reader, "eE");
    if (reader->at > mantissa_end) {
        skip_any(reader, "+-");
        if (skip_digits(reader) == 0)
            return fail(reader, start, "a number of the polygon is none");
    }
    size_t size = reader->at - start;
    if (size > NUMBER_MAX_BYTES)
        return fail(reader, start, "a number of the polygon is too long");
    memcpy(copy, reader->text + start, size);
    copy[size] = '\0';
    double value = strtod(copy, NULL);
    if (!(value >= -max && value <= max))
        return fail(reader, start, too_far);
    *number = units(value);
    return true;
}

static bool read_point(struct reader *reader, struct point *point)
{
    return read_number(reader, GEO_MAX_LON, "a longitude of the polygon is beyond 180",
                       &point->x) &&
           read_number(reader, GEO_MAX_LAT, "a latitude of the polygon is beyond 90", &point->y);
}

static void widen(struct ring *ring, struct point point)
{
    if (point.x < ring->min.x)
        ring->min.x = point.x;
    if (point.x > ring->max.x)
        ring->max.x = point.x;
    if (point.y < ring->min.y)
        ring->min.y = point.y;
    if (point.y > ring->max.y)
        ring->max.y = point.y;
}

static bool read_ring(struct reader *reader, bool hole)
{
    static const int64_t max_span = MAX_SPAN_DEGREES * (int64_t)GEO_UNITS_PER_DEGREE;
    struct geo_area *area = reader->area;
    struct point *points = area->points + reader->points;
    struct ring *ring = &area->rings[area->ring_count++];
    *ring = (struct ring){.first = (uint32_t)reader->points, .hole = hole};
    next(reader);
    size_t start = reader->at;
    if (!expect(reader, '('))
        return false;
    do {
        next(reader);
        size_t at = reader->at;
        struct point *point = &points[ring->count];
        if (!read_point(reader, point))
            return false;
        if (ring->count == 0)
            ring->min = ring->max = *point;
        int64_t span = ring->count ? point->x - point[-1].x : 0;
        if (span > max_span || span < -max_span) {
            fail(reader, at, "an edge of the polygon spans more than 180 degrees");
            snprintf(reader->error->hint, sizeof reader->error->hint,
                     "cut it at the antimeridian into a MULTIPOLYGON");
            return false;
        }
        widen(ring, *point);
        ring->count++;
        reader->points++;
    } while (take(reader, ','));
    if (!expect(reader, ')'))
        return false;
    if (ring->count < RING_MIN_POINTS)
        return fail(reader, start, "a ring of the polygon has fewer than four points");
    struct point last = points[ring->count - 1];
    if (points->x != last.x || points->y != last.y)
        return fail(reader, start,
                    "a ring of the polygon is not closed: its last point is not its "
                    "first");
    return true;
}

static bool read_polygon(struct reader *reader)
{
    bool hole = false;
    if (!expect(reader, '('))
        return false;
    do {
        if (!read_ring(reader, hole))
            return false;
        hole = true;
    } while (take(reader, ','));
    return expect(reader, ')');
}

static bool read_area(struct reader *reader)
{
    if (take_word(reader, "MULTIPOLYGON")) {
        if (!expect(reader, '('))
            return false;
        do {
            if (!read_polygon(reader))
                return false;
        } while (take(reader, ','));
        if (!expect(reader, ')'))
            return false;
    } else if (!take_word(reader, "POLYGON")) {
        return fail(reader, reader->at, "expected POLYGON((…)) or MULTIPOLYGON(((…)))");
    } else if (!read_polygon(reader)) {
        return false;
    }
    next(reader);
    return reader->at == reader->size || fail(reader, reader->at, "something follows the polygon");
}

/* One block for all that the text can hold: a ring for each parenthesis, a point for each comma
 * and for each parenthesis. */
static struct geo_area *area_new(const char *text, size_t size)
{
    size_t rings = 0, points = 0;
    for (size_t i = 0; i < size; i++) {
        rings += text[i] == '(';
        points += text[i] == ',' || text[i] == '(';
    }
    struct geo_area *area =
        malloc(sizeof *area + rings * sizeof *area->rings + points * sizeof *area->points);
    if (!area)
        return NULL;
    area->ring_count = 0;
    area->rings = (struct ring *)(area + 1);
    area->points = (struct point *)(area->rings + rings);
    return area;
}

struct geo_area *geo_area_from_wkt(const char *text, size_t size, struct text_error *error)
{
    struct reader reader = {.text = text, .size = size, .error = error};
    if (size > GEO_WKT_MAX_BYTES) {
        fail(&reader, 0, "the polygon is too long");
        return NULL;
    }
    reader.area = area_new(text, size);
    if (!reader.area) {
        fail(&reader, 0, "out of memory");
        return NULL;
    }
    if (read_area(&reader))
        return reader.area;
    geo_area_free(reader.area);
    return NULL;
}

void geo_area_free(struct geo_area *area)
{
    free(area);
}

/* ---- asking ---- */

enum side { OUTSIDE, ON_EDGE, INSIDE };

/* >0 where `p` lies left of the line from `a` to `b`, <0 right of it, 0 on it; exact. */
static int turn(struct point a, struct point b, struct point p)
{
    __int128 left = (__int128)(b.x - a.x) * (p.y - a.y),
             right = (__int128)(b.y - a.y) * (p.x - a.x);
    return (left > right) - (left < right);
}

/* Counts the edges that a ray to the east crosses. Lines are multiplied out only for a point
 * within the box around the edge. */
static enum side side_of(const struct ring *ring, const struct point *points, struct point p)
{
    bool inside = false;
    if (p.x < ring->min.x || p.x > ring->max.x || p.y < ring->min.y || p.y > ring->max.y)
        return OUTSIDE;
    for (size_t i = 1; i < ring->count; i++) {
        struct point a = points[i - 1], b = points[i];
        if ((p.y < a.y && p.y < b.y) || (p.y > a.y && p.y > b.y) || (p.x > a.x && p.x > b.x))
            continue;
        bool crosses = (a.y > p.y) != (b.y > p.y);
        if (p.x < a.x && p.x < b.x) {
            inside ^= crosses;
            continue;
        }
        int side = turn(a, b, p);
        if (side == 0)
            return ON_EDGE;
        inside ^= crosses && (side > 0) == (b.y > a.y);
    }
    return inside ? INSIDE : OUTSIDE;
}

bool geo_area_holds(const struct geo_area *area, double lat, double lon)
{
    if (!(lat >= -GEO_MAX_LAT && lat <= GEO_MAX_LAT && lon >= -GEO_MAX_LON && lon <= GEO_MAX_LON))
        return false;
    struct point p = {units(lon), units(lat)};
    bool within = false; /* the outer ring, and so far no hole of the present polygon */
    for (size_t i = 0; i < area->ring_count; i++) {
        const struct ring *ring = &area->rings[i];
        if (!ring->hole && within)
            return true;
        enum side side = side_of(ring, area->points + ring->first, p);
        if (side == ON_EDGE)
            return true;
        within = ring->hole ? within && side == OUTSIDE : side == INSIDE;
    }
    return within;
}
