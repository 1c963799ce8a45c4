/* http_limits: how many connections an address may have, and what is one address. */
#include "hub/http_limits.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 100, PER_ADDRESS = 2 };

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage storage = {.ss_family = AF_INET};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1) {
        memcpy(&storage, &ipv4, sizeof ipv4);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
        memcpy(&storage, &ipv6, sizeof ipv6);
    }
    return storage;
}

/* Whether a connection from `second` counts with those from `first`. */
static bool counts_together(const char *first, const char *second)
{
    struct http_limits *limits = http_limits_new(MOST, PER_ADDRESS);
    struct sockaddr_storage one = address_of(first), other = address_of(second);
    assert_non_null(limits);
    for (int i = 0; i < PER_ADDRESS; i++) {
        assert_true(http_limits_allow(limits, (struct sockaddr *)&one));
        http_limits_came(limits, (struct sockaddr *)&one);
    }
    assert_false(http_limits_allow(limits, (struct sockaddr *)&one));
    bool together = !http_limits_allow(limits, (struct sockaddr *)&other);
    http_limits_went(limits, (struct sockaddr *)&one);
    assert_true(http_limits_allow(limits, (struct sockaddr *)&one));
    assert_true(http_limits_allow(limits, (struct sockaddr *)&other));
    http_limits_went(limits, (struct sockaddr *)&one);
    http_limits_free(limits);
    return together;
}

static void a_network_of_ipv6_counts_as_one_address(void **state)
{
    (void)state;
    assert_true(counts_together("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert_false(counts_together("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert_false(counts_together("192.0.2.1", "192.0.2.2"));
    assert_true(counts_together("192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(counts_together("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    assert_false(counts_together("fe80::1", "fe80::2"));
    assert_false(counts_together("::1", "::2"));
}

static void its_text_is_that_of_the_network(void **state)
{
    static const char *const texts[][2] = {
        {"2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"},
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"fe80::1", "fe80::1"},
        {"::1", "::1"},
        {"", ""},
        {"no address", "no address"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char network[HTTP_NETWORK_BYTES];
        http_limits_network(texts[i][0], network);
        assert_string_equal(network, texts[i][1]);
    }
}

static void there_is_a_bound_for_all(void **state)
{
    (void)state;
    struct http_limits *limits = http_limits_new(1, PER_ADDRESS);
    struct sockaddr_storage one = address_of("192.0.2.1"), other = address_of("192.0.2.2");
    http_limits_came(limits, (struct sockaddr *)&one);
    assert_false(http_limits_allow(limits, (struct sockaddr *)&other));
    http_limits_set(limits, 2, PER_ADDRESS);
    assert_true(http_limits_allow(limits, (struct sockaddr *)&other));
    http_limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_of_ipv6_counts_as_one_address),
        cmocka_unit_test(its_text_is_that_of_the_network),
        cmocka_unit_test(there_is_a_bound_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
