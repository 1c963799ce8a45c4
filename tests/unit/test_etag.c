/* Entity tags tell answers apart. */
#include "hub/etag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_BYTES = 100 };

struct tag {
    char text[ETAG_TEXT_BYTES];
};

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct tag));
}

/* Every text that differs from another in one bit, one byte's place or its length. */
static void every_change_makes_another_tag(void **state)
{
    (void)state;
    enum { TAGS = TEXT_BYTES * 8 + TEXT_BYTES + TEXT_BYTES };
    static struct tag tags[TAGS];
    size_t count = 0;
    char text[TEXT_BYTES] = {0};
    for (size_t bit = 0; bit < TEXT_BYTES * 8; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ (char)(1 << bit % 8));
        etag_of(text, TEXT_BYTES, tags[count++].text);
        text[bit / 8] = (char)(text[bit / 8] ^ (char)(1 << bit % 8));
    }
    for (size_t size = 0; size < TEXT_BYTES; size++)
        etag_of(text, size, tags[count++].text);
    memset(text, 'x', TEXT_BYTES);
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        text[i] = 'y';
        etag_of(text, TEXT_BYTES, tags[count++].text);
        text[i] = 'x';
    }
    assert_int_equal(count, TAGS);
    qsort(tags, TAGS, sizeof *tags, by_text);
    for (size_t i = 1; i < TAGS; i++)
        assert_memory_not_equal(&tags[i - 1], &tags[i], sizeof *tags);
}

/* All of its digits: two that agree in the first or the last ones are as rare as chance has it. */
static void tags_differ_in_every_part(void **state)
{
    (void)state;
    enum { TAGS = 2000, PART_DIGITS = 8 };
    static char parts[ETAG_DIGITS / PART_DIGITS][TAGS][PART_DIGITS];
    for (int i = 0; i < TAGS; i++) {
        char text[64];
        struct tag tag;
        int size = snprintf(text, sizeof text, "{\"lat\":59.91,\"lon\":10.75,\"seq\":%d}", i);
        etag_of(text, (size_t)size, tag.text);
        for (int part = 0; part < ETAG_DIGITS / PART_DIGITS; part++)
            memcpy(parts[part][i], tag.text + 1 + part * PART_DIGITS, PART_DIGITS);
    }
    for (int part = 0; part < ETAG_DIGITS / PART_DIGITS; part++)
        for (int i = 0; i < TAGS; i++)
            for (int k = 0; k < i; k++)
                assert_memory_not_equal(parts[part][i], parts[part][k], PART_DIGITS);
}

static void a_tag_is_quoted_hex_and_always_the_same(void **state)
{
    (void)state;
    struct tag first, second;
    etag_of("{\"a\":1}", 7, first.text);
    etag_of("{\"a\":1}", 7, second.text);
    assert_string_equal(first.text, second.text);
    assert_int_equal(strlen(first.text), ETAG_DIGITS + 2);
    assert_int_equal(first.text[0], '"');
    assert_int_equal(strspn(first.text + 1, "0123456789abcdef"), ETAG_DIGITS);
    assert_int_equal(first.text[ETAG_DIGITS + 1], '"');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_makes_another_tag),
        cmocka_unit_test(tags_differ_in_every_part),
        cmocka_unit_test(a_tag_is_quoted_hex_and_always_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
