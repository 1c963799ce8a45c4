#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub/gzip.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void expect_round_trip(const char *data, size_t size)
{
    struct buf packed = BUF_INIT;
    buf_adds(&packed, "head"); /* what is there already stays */
    assert_true(gzip_pack(data, size, &packed));
    assert_memory_equal(packed.data, "head", 4);
    char *plain = malloc(size + 1);
    assert_non_null(plain);
    z_stream stream = {.next_in = (Bytef *)packed.data + 4,
                       .avail_in = (uInt)packed.size_bytes - 4,
                       .next_out = (Bytef *)plain,
                       .avail_out = (uInt)size + 1};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK); /* gzip alone */
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(stream.total_out, size);
    assert_memory_equal(plain, data, size);
    inflateEnd(&stream);
    free(plain);
    buf_done(&packed);
}

static void gzip_gives_back_what_went_in(void **state)
{
    enum { LARGE_BYTES = 3 << 20 };
    (void)state;
    char *data = malloc(LARGE_BYTES);
    assert_non_null(data);
    uint32_t noise = 1;
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        noise = noise * 1664525 + 1013904223;
        data[i] = (char)(i < LARGE_BYTES / 2 ? noise >> 24 : 'a' + i % 7);
    }
    expect_round_trip("", 0);
    expect_round_trip("{}", 2);
    expect_round_trip(data, 1000);        /* noise does not shrink */
    expect_round_trip(data, LARGE_BYTES); /* many blocks */
    expect_round_trip(data + LARGE_BYTES / 2, LARGE_BYTES / 2);
    free(data);
}

static void *pack_in_thread(void *argument)
{
    struct buf *out = argument;
    for (int i = 0; i < 20; i++) {
        buf_reset(out);
        if (!gzip_pack("the same text, the same text", 28, out))
            out->failed = true;
    }
    return NULL;
}

static void gzip_of_several_threads_is_the_same(void **state)
{
    enum { THREADS = 4 };
    struct buf packed[THREADS] = {BUF_INIT};
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pack_in_thread, &packed[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(packed[i].failed);
        assert_int_equal(packed[i].size_bytes, packed[0].size_bytes);
        assert_memory_equal(packed[i].data, packed[0].data, packed[0].size_bytes);
    }
    for (int i = 0; i < THREADS; i++)
        buf_done(&packed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_gives_back_what_went_in),
        cmocka_unit_test(gzip_of_several_threads_is_the_same),
    };
    return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
