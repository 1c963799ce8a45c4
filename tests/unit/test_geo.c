/* geo: distances, boxes and areas. */
#include "tests/unit/fault.h"
#include "tests/unit/random.h"
#include "twin/geo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CIRCLE_ROUNDS = 400000, AREA_ROUNDS = 20000 };

static double uniform(struct random *random, double from, double to)
{
    return from + (to - from) * (double)(random_next(random) >> 11) / 9007199254740992.0;
}

static void assert_near(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%.9f is not %.9f", got, expected);
}

static void geo_distance_is_the_haversine_on_the_mean_sphere(void **state)
{
    (void)state;
    double quarter = GEO_EARTH_RADIUS_M * acos(-1) / 2;
    assert_near(geo_distance_m(0, 0, 0, 0), 0, 0);
    assert_near(geo_distance_m(0, 0, 90, 0), quarter, 1e-6);
    assert_near(geo_distance_m(0, 0, 0, 90), quarter, 1e-6);
    assert_near(geo_distance_m(0, 0, 0, 180), 2 * quarter, 1e-6);
    assert_near(geo_distance_m(90, 0, -90, 123), 2 * quarter, 1e-6);
    assert_near(geo_distance_m(0, 0, 0, 1), 2 * quarter / 180, 1e-6);
    /* Computed by another program. */
    assert_near(geo_distance_m(60, 0, 60, 1), 55597.01086489692, 1e-6);
    assert_near(geo_distance_m(59.9139, 10.7522, 60.3913, 5.3221), 305067.1348058617, 1e-5);
}

static void geo_distance_is_short_across_the_antimeridian(void **state)
{
    (void)state;
    assert_near(geo_distance_m(0, 179.5, 0, -179.5), geo_distance_m(0, 0, 0, 1), 1e-6);
    assert_near(geo_distance_m(10, 179.99999, 10, -179.99999), geo_distance_m(10, 0, 10, 0.00002),
                1e-6);
    assert_near(geo_distance_m(5, 180, 5, -180), 0, 1e-9);
}

static void geo_distance_off_the_globe_is_a_number_or_none(void **state)
{
    (void)state;
    assert_near(geo_distance_m(0, 0, 0, 361), geo_distance_m(0, 0, 0, 1), 1e-3);
    assert_true(geo_distance_m(0, 0, 95, 0) > 0);
    assert_true(isnan(geo_distance_m(0, 0, INFINITY, 0)));
    struct geo_circle circle;
    geo_circle_init(&circle, 0, 0, 1e6);
    assert_int_equal(geo_circle_compare(&circle, 0, INFINITY), GEO_NOWHERE);
    assert_int_equal(geo_circle_compare(&circle, 0, 361), -1);
    assert_int_equal(geo_circle_compare(&circle, 0, 400), 1);
}

static int sign_of(double distance_m, double radius_m)
{
    return (distance_m > radius_m) - (distance_m < radius_m);
}

/* A radius of any size, and of exactly the distance, and a rounding beside it. */
static double radius_for(struct random *random, double distance_m)
{
    switch (random_below(random, 5)) {
    case 0:
        return distance_m;
    case 1:
        return nextafter(distance_m, 0);
    case 2:
        return nextafter(distance_m, 1e9);
    case 3:
        return distance_m * uniform(random, 0.99999, 1.00001);
    default:
        return pow(10, uniform(random, -3, 7.5));
    }
}

static void geo_circle_says_what_the_exact_formula_says(void **state)
{
    (void)state;
    struct random random = random_seeded("circles");
    static const double spread_deg[] = {1e-9, 1e-6, 1e-3, 0.1, 3, 20, 180};
    for (int i = 0; i < CIRCLE_ROUNDS; i++) {
        double spread = spread_deg[random_below(&random, 7)];
        double lat = uniform(&random, -90, 90), lon = uniform(&random, -180, 180);
        if (random_below(&random, 8) == 0)
            lat = copysign(90 - pow(10, uniform(&random, -9, 1)), lat);
        if (random_below(&random, 8) == 0)
            lon = copysign(180 - pow(10, uniform(&random, -9, 1)), lon);
        double to_lat = fmin(90, fmax(-90, lat + uniform(&random, -spread, spread)));
        double to_lon = remainder(lon + uniform(&random, -spread, spread), 360);
        double distance_m = geo_distance_m(lat, lon, to_lat, to_lon);
        double radius_m = radius_for(&random, distance_m);
        struct geo_circle circle;
        geo_circle_init(&circle, lat, lon, radius_m);
        int got = geo_circle_compare(&circle, to_lat, to_lon);
        if (got != sign_of(distance_m, radius_m))
            fail_msg("%.17g %.17g to %.17g %.17g, %.17g beside %.17g m: %d", lat, lon, to_lat,
                     to_lon, distance_m, radius_m, got);
    }
}

static void geo_circle_of_no_or_negative_or_endless_radius(void **state)
{
    (void)state;
    struct geo_circle circle;
    geo_circle_init(&circle, 10, 20, 0);
    assert_int_equal(geo_circle_compare(&circle, 10, 20), 0);
    assert_int_equal(geo_circle_compare(&circle, 10, 20.0000001), 1);
    geo_circle_init(&circle, 10, 20, -1);
    assert_int_equal(geo_circle_compare(&circle, 10, 20), 1);
    geo_circle_init(&circle, 10, 20, 1e300);
    assert_int_equal(geo_circle_compare(&circle, -10, -160), -1);
}

static void geo_box_includes_its_borders_and_may_cross_the_antimeridian(void **state)
{
    (void)state;
    struct geo_box box = {10.5, 59.25, 10.75, 60}, across = {179, -1, -179, 1};
    assert_true(geo_box_holds(&box, 59.25, 10.5));
    assert_true(geo_box_holds(&box, 60, 10.75));
    assert_false(geo_box_holds(&box, 60.0000001, 10.6));
    assert_false(geo_box_holds(&box, 59.5, 10.4999999));
    assert_true(geo_box_holds(&across, 0, 179.5));
    assert_true(geo_box_holds(&across, 0, -179.5));
    assert_true(geo_box_holds(&across, 0, 180));
    assert_true(geo_box_holds(&across, 0, -179));
    assert_false(geo_box_holds(&across, 0, 0));
    assert_false(geo_box_holds(&across, 2, 180));
}

/* ---- areas ---- */

static struct geo_area *area_of(const char *wkt)
{
    struct text_error error;
    struct geo_area *area = geo_area_from_wkt(wkt, strlen(wkt), &error);
    if (!area)
        fail_msg("%s: refused at %zu: %s", wkt, error.offset, error.detail);
    return area;
}

static bool holds(const char *wkt, double lat, double lon)
{
    struct geo_area *area = area_of(wkt);
    bool result = geo_area_holds(area, lat, lon);
    geo_area_free(area);
    return result;
}

static void geo_area_holds_what_is_inside_and_on_its_edges(void **state)
{
    (void)state;
    static const char square[] = "POLYGON((0 0, 4 0, 4 2, 0 2, 0 0))";
    assert_true(holds(square, 1, 1));
    assert_true(holds(square, 0, 0));
    assert_true(holds(square, 2, 4));
    assert_true(holds(square, 0, 2));
    assert_true(holds(square, 1, 4));
    assert_false(holds(square, 3, 1));
    assert_false(holds(square, 1, 4.0000001));
    assert_false(holds(square, -1e-9, 1));
}

static void geo_area_is_exact_on_slanting_edges(void **state)
{
    (void)state;
    /* In binary fractions none of these points lies exactly on its edge. */
    assert_true(holds("POLYGON((10.1 59.8, 10.9 60.0, 10.1 60.0, 10.1 59.8))", 59.9, 10.5));
    assert_true(holds("POLYGON((10.1 59.8, 10.7 60.1, 10.1 60.1, 10.1 59.8))", 59.9, 10.3));
    assert_true(holds("POLYGON((0 0, 0.3 0.9, 0 0.9, 0 0))", 0.3, 0.1));
    assert_false(holds("POLYGON((0 0, 0.3 0.9, 0 0.9, 0 0))", 0.299999999999, 0.1));
    assert_true(holds("POLYGON((0 0, 0.3 0.9, 0 0.9, 0 0))", 0.300000000001, 0.1));
}

static void geo_area_counts_corners_once(void **state)
{
    (void)state;
    static const char star[] = "POLYGON((0 0, 2 1, 4 0, 3 2, 4 4, 2 3, 0 4, 1 2, 0 0))";
    assert_true(holds(star, 2, 2));
    assert_true(holds(star, 1, 2));
    assert_true(holds(star, 2, 1));
    assert_false(holds(star, 2, 0.5));
    assert_false(holds(star, 0, 2));
    assert_false(holds(star, 4, 2));
    assert_false(holds(star, 1, 0));
    assert_false(holds("POLYGON((1 1, 3 1, 2 0, 1 1))", 1, 0));
    assert_false(holds("POLYGON((0 0, 1 1, 2 0, 3 1, 4 0, 4 3, 0 3, 0 0))", 1, -1));
    assert_true(holds("POLYGON((0 0, 1 1, 2 0, 3 1, 4 0, 4 3, 0 3, 0 0))", 1, 2));
}

static void geo_area_leaves_out_its_holes_but_not_their_edges(void **state)
{
    (void)state;
    static const char ring[] = "POLYGON((0 0, 9 0, 9 9, 0 9, 0 0), (2 2, 4 2, 4 4, 2 4, 2 2), "
                               "(6 6, 8 6, 8 8, 6 8, 6 6))";
    assert_true(holds(ring, 1, 1));
    assert_false(holds(ring, 3, 3));
    assert_false(holds(ring, 7, 7));
    assert_true(holds(ring, 2, 3));
    assert_true(holds(ring, 8, 8));
    assert_true(holds(ring, 5, 5));
}

static void geo_area_of_several_polygons_holds_what_any_of_them_does(void **state)
{
    (void)state;
    static const char two[] = "MULTIPOLYGON(((0 0,9 0,9 9,0 9,0 0),(2 2,7 2,7 7,2 7,2 2)),"
                              "((3 3,6 3,6 6,3 6,3 3)), ((170 0, 180 0, 180 9, 170 0)))";
    assert_true(holds(two, 1, 1));
    assert_false(holds(two, 2.5, 2.5));
    assert_true(holds(two, 4, 4));
    assert_true(holds(two, 0, 180));
    assert_false(holds(two, 0, -180));
}

static void geo_area_is_read_as_people_write_it(void **state)
{
    (void)state;
    assert_true(holds(" multipolygon ( ( ( 0 0 , 4.0 0e0,\t4 +4 , 0\n4.,0 0 ) ) ) ", 1, 1));
    assert_true(holds("Polygon((-1e1 -.5,1E+1 -.5,10 .5,-10 0.5,-10 -0.5))", 0.25, -9));
}

static void geo_area_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *wkt;
        size_t offset;
        const char *detail;
    } refused[] = {
        {"", 0, "expected POLYGON"},
        {"POINT(1 2)", 0, "expected POLYGON"},
        {"POLYGON", 7, "expected ("},
        {"POLYGON EMPTY", 8, "expected ("},
        {"POLYGON Z((0 0 1, 1 0 1, 1 1 1, 0 0 1))", 8, "expected ("},
        {"POLYGON()", 8, "expected ("},
        {"POLYGON(())", 9, "number"},
        {"POLYGON((0 0, 1 0, 1 1, 0 0)", 28, "expected )"},
        {"POLYGON((0 0, 1 0, 1 1, 0 0)) x", 30, "follows"},
        {"POLYGON((0 0, 1 0, 0 0))", 8, "four points"},
        {"POLYGON((0 0, 1 0, 1 1, 2 2))", 8, "not closed"},
        {"POLYGON((0 0, 1 0, 1 1, 0 0), (0 0, 1 1, 0 0))", 30, "four points"},
        {"POLYGON((0 0, 1 0 5, 1 1, 0 0))", 18, "expected )"},
        {"POLYGON((0 0, 181 0, 1 1, 0 0))", 14, "longitude"},
        {"POLYGON((0 0, 1 -91, 1 1, 0 0))", 16, "latitude"},
        {"POLYGON((0 0, 1e999 0, 1 1, 0 0))", 14, "longitude"},
        {"POLYGON((0 0, 1e 0, 1 1, 0 0))", 14, "none"},
        {"POLYGON((0 0, nan 0, 1 1, 0 0))", 14, "number"},
        {"POLYGON((0 0, 0x1 0, 1 1, 0 0))", 15, "number"},
        {"POLYGON((0 0, -100 0, 100 1, 0 0))", 22, "180 degrees"},
        {"MULTIPOLYGON((0 0, 1 0, 1 1, 0 0))", 14, "expected ("},
        {"POLYGON((0 0, 1.00000000000000000000000000000000000000000000000000000000000000000 0, "
         "1 1, 0 0))",
         14, "too long"},
        {"\xc3\xa9", 0, "expected POLYGON"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct text_error error;
        struct geo_area *area = geo_area_from_wkt(refused[i].wkt, strlen(refused[i].wkt), &error);
        if (area)
            fail_msg("accepted: %s", refused[i].wkt);
        if (error.offset != refused[i].offset || !strstr(error.detail, refused[i].detail))
            fail_msg("%s: at %zu: %s", refused[i].wkt, error.offset, error.detail);
    }
}

static void geo_area_edge_of_180_degrees_is_allowed(void **state)
{
    (void)state;
    assert_true(holds("POLYGON((-90 0, 90 0, 90 10, -90 10, -90 0))", 5, 0));
    assert_true(
        holds("POLYGON((-180 -90, 0 -90, 180 -90, 180 90, 0 90, -180 90, -180 -90))", 0, 0));
    assert_false(holds("POLYGON((-90 0, 90 0, 90 10, -90 10, -90 0))", NAN, 0));
    assert_false(holds("POLYGON((-90 0, 90 0, 90 10, -90 10, -90 0))", 5, 1e300));
}

/* Every point of a triangle is on one side of each edge, or on it: in whole numbers, obviously. */
static void geo_area_agrees_with_the_sides_of_triangles(void **state)
{
    (void)state;
    struct random random = random_seeded("triangles");
    for (int i = 0; i < AREA_ROUNDS; i++) {
        int x[3], y[3], px = (int)random_below(&random, 8), py = (int)random_below(&random, 8);
        for (int j = 0; j < 3; j++) {
            x[j] = (int)random_below(&random, 8);
            y[j] = (int)random_below(&random, 8);
        }
        bool left = false, right = false, level = true;
        for (int j = 0; j < 3; j++) {
            int k = (j + 1) % 3;
            int turn = (x[k] - x[j]) * (py - y[j]) - (y[k] - y[j]) * (px - x[j]);
            int area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
            left = left || turn > 0, right = right || turn < 0, level = level && area == 0;
        }
        if (level)
            continue; /* a triangle without an inside */
        char wkt[128];
        snprintf(wkt, sizeof wkt, "POLYGON((%d.%d %d, %d.%d %d, %d.%d %d, %d.%d %d))", x[0] / 10,
                 x[0], y[0], x[1] / 10, x[1], y[1], x[2] / 10, x[2], y[2], x[0] / 10, x[0], y[0]);
        assert_true(holds(wkt, py, px / 10.0) == !(left && right));
    }
}

static bool read_area(void *context)
{
    struct text_error error;
    struct geo_area *area = geo_area_from_wkt(context, strlen(context), &error);
    if (!area)
        assert_string_equal(error.detail, "out of memory");
    geo_area_free(area);
    return area != NULL;
}

static void geo_area_lost_memory_is_an_error(void **state)
{
    (void)state;
    char text[] = "POLYGON((0 0, 1 0, 1 1, 0 0))";
    assert_int_equal(fault_loop(read_area, text), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geo_distance_is_the_haversine_on_the_mean_sphere),
        cmocka_unit_test(geo_distance_is_short_across_the_antimeridian),
        cmocka_unit_test(geo_distance_off_the_globe_is_a_number_or_none),
        cmocka_unit_test(geo_circle_says_what_the_exact_formula_says),
        cmocka_unit_test(geo_circle_of_no_or_negative_or_endless_radius),
        cmocka_unit_test(geo_box_includes_its_borders_and_may_cross_the_antimeridian),
        cmocka_unit_test(geo_area_holds_what_is_inside_and_on_its_edges),
        cmocka_unit_test(geo_area_is_exact_on_slanting_edges),
        cmocka_unit_test(geo_area_counts_corners_once),
        cmocka_unit_test(geo_area_leaves_out_its_holes_but_not_their_edges),
        cmocka_unit_test(geo_area_of_several_polygons_holds_what_any_of_them_does),
        cmocka_unit_test(geo_area_is_read_as_people_write_it),
        cmocka_unit_test(geo_area_that_is_none_is_refused),
        cmocka_unit_test(geo_area_edge_of_180_degrees_is_allowed),
        cmocka_unit_test(geo_area_agrees_with_the_sides_of_triangles),
        cmocka_unit_test(geo_area_lost_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
