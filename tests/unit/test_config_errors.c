/* The configuration: what is refused, and where the errors say that it stands. */
#include "tests/unit/config_help.h"
#include "tests/unit/fault.h"

#include <stdio.h>
#include <unistd.h>

static void config_errors_name_file_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"envv: x\n", "t.yaml:5:1: unknown key `envv`, did you mean `env`?\n"},
        {"stale_after_s: 3\n",
         "t.yaml:5:1: unknown key `stale_after_s`, did you mean `presence.stale_after_s`?\n"},
        {"http:\n  limits: {\n    conections: 5}\n",
         "t.yaml:7:5: unknown key `http.limits.conections`, did you mean "
         "`http.limits.connections`?\n"},
        {"zebra: {a: {b: c}}\n", "t.yaml:5:1: unknown key `zebra`\n"},
        {"http.listen: x\n",
         "t.yaml:5:1: unknown key `http.listen`, did you mean `http.listen`?\n"},
        {"presence: {stale_after_s: ten}\n",
         "t.yaml:5:27: presence.stale_after_s: expects seconds, or such as 2min, not `ten`\n"},
        {"presence:\n  stale_after_s: 100\n",
         "t.yaml:6:18: presence.stale_after_s: 100 s is above presence.offline_after_s, which is "
         "60 s\n"},
        {"presence: {offline_after_s: 5}\n",
         "t.yaml:5:29: presence.offline_after_s: 5 s is below presence.stale_after_s, which is 10 "
         "s\n"},
        {"http: {tls: {key: k}}\n",
         "t.yaml:5:19: http.tls.key: makes no sense without http.tls.cert\n"},
        {"record: {track_s: 1}\nrecord: {}\n",
         "t.yaml:6:1: record: stands here for the second time\n"},
        {"log: {level: info, level: warn}\n",
         "t.yaml:5:20: log.level: stands here for the second time\n"},
        {"record: 5\n", "t.yaml:5:9: record: expects a mapping, found text\n"},
        {"log: {level: [info]}\n", "t.yaml:5:14: log.level: expects one choice, found a list\n"},
        {"commands: {extra_types: x}\n",
         "t.yaml:5:25: commands.extra_types: expects a list, found text\n"},
        {"commands: {confirm_above: '7'}\n",
         "t.yaml:5:27: commands.confirm_above: expects one whole number, found quoted text\n"},
        {"? [a]\n: b\n", "t.yaml:5:3: a key must be a short text, found a list\n"},
        {"http: {listen: \"a\\0b\"}\n",
         "t.yaml:5:16: http.listen: expects one address:port, found a NUL byte\n"},
        {"auth: {jwt: [{issuer: a, audience: b, algorithm: none, key_file: c}]}\n",
         "t.yaml:5:50: auth.jwt: algorithm `none` is not one of EdDSA|ES256|RS256\n"},
        {"auth: {jwt: [{issuer: a, audience: b, algorithm: ES256}]}\n",
         "t.yaml:5:14: auth.jwt: an issuer without `key_file`\n"},
        {"auth: {jwt: [{issuer: a, issuer: b}]}\n",
         "t.yaml:5:26: auth.jwt: `issuer` stands twice in one issuer\n"},
        {"a: [1\nb: {", "t.yaml:6:2: not YAML: did not find expected ',' or ']' (while parsing a "
                        "flow sequence)\n"},
        {"# \xc3\xa5\xc3\xa5 \xff\n", "t.yaml:5:6: not YAML: invalid leading UTF-8 octet\n"},
        {"---\na: b\n", "t.yaml:6:1: a second document: the configuration is one\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = BUF_INIT;
        buf_adds(&text, REQUIRED);
        buf_adds(&text, cases[i].text);
        struct loaded loaded = load(buf_cstr(&text));
        assert_string_equal(buf_cstr(&loaded.errors), cases[i].error);
        assert_int_equal(loaded.status, -1);
        loaded_done(&loaded);
        buf_done(&text);
    }
}

static void config_errors_name_the_variable_or_the_flag(void **state)
{
    (void)state;
    setenv("FLEETHUB_AUTH", "maybe", 1);
    struct loaded loaded = load_with_flag(REQUIRED, "nats.replicas", "6");
    assert_string_equal(
        buf_cstr(&loaded.errors),
        "environment FLEETHUB_AUTH: auth.mode: `maybe` is not one of tokens|off\n"
        "flag --nats.replicas: nats.replicas: `6` is out of range: it must be 1 to 5\n");
    loaded_done(&loaded);
}

static void config_tells_every_error_and_each_missing_key_once(void **state)
{
    (void)state;
    struct loaded loaded = load("# nothing\nregoin: x\nnats:\n  replicas: 9\nlog:\n");
    assert_int_equal(loaded.status, -1);
    char *rest = loaded.errors.data;
    static const char *const begins[] = {
        "t.yaml:2:1: unknown key `regoin`, did you mean `region`?",
        "t.yaml:4:13: nats.replicas: ",
        "t.yaml:2:1: env: is missing",
        "t.yaml:2:1: region: is missing",
        "t.yaml:3:1: nats.url: is missing",
        "t.yaml:2:1: postgres.dsn: is missing",
    };
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        assert_memory_equal(strsep(&rest, "\n"), begins[i], strlen(begins[i]));
    assert_ptr_equal(rest, loaded.errors.data + loaded.errors.size_bytes);
    loaded_done(&loaded);
}

static void config_errors_are_bounded_and_send_nothing_to_a_terminal(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_adds(&text, REQUIRED);
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "\"\\e[31m\\u009b%d\": x\n", i);
    struct loaded loaded = load(buf_cstr(&text));
    size_t lines = 0;
    buf_cstr(&loaded.errors);
    for (size_t i = 0; i < loaded.errors.size_bytes; i++) {
        unsigned char byte = (unsigned char)loaded.errors.data[i];
        assert_true(byte >= 0x20 || byte == '\n');
        assert_true(byte < 0x7f);
        lines += byte == '\n';
    }
    assert_true(lines >= CONFIG_MAX_ERRORS && lines <= CONFIG_MAX_ERRORS + 1);
    loaded_done(&loaded);
    buf_done(&text);
}

static void config_file_that_is_absent_or_too_large_is_one_error(void **state)
{
    (void)state;
    struct loaded loaded = {0};
    struct config_request absent = {.file = "/nonexistent/t.yaml"};
    assert_int_equal(config_load(&absent, &loaded.config, &loaded.errors), -1);
    assert_string_equal(buf_cstr(&loaded.errors),
                        "/nonexistent/t.yaml: No such file or directory\n");
    buf_reset(&loaded.errors);
    char path[] = "/tmp/test_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct config_request request = {.file = path};
    static const char text[] = REQUIRED;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(config_load(&request, &loaded.config, &loaded.errors), 0);
    config_done(&loaded.config);
    assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX_BYTES + 1), 0);
    assert_int_equal(config_load(&request, &loaded.config, &loaded.errors), -1);
    assert_non_null(strstr(buf_cstr(&loaded.errors), ": is larger than 1 MiB\n"));
    close(fd);
    unlink(path);
    buf_done(&loaded.errors);
}

static void config_aliases_in_circles_end(void **state)
{
    (void)state;
    struct loaded loaded = load(REQUIRED "http: &a {limits: *a, tls: *a}\n");
    assert_int_equal(loaded.status, -1);
    assert_non_null(strstr(buf_cstr(&loaded.errors), "unknown key `http.limits.limits`"));
    loaded_done(&loaded);
    loaded = load(REQUIRED "commands: {extra_types: &a [*a]}\n");
    assert_int_equal(loaded.status, -1);
    loaded_done(&loaded);
    loaded = load(REQUIRED "http: {limits: &l {connections: 5}}\n");
    assert_int_equal(loaded.config.http.limits.connections, 5);
    loaded_done(&loaded);
}

static void config_secrets_on_flags_are_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"postgres.dsn", "host=h password=geheim"},
        {"postgres.admin_dsn", "postgres://u:geheim@h/d"},
        {"nats.url", "nats://u:geheim@h"},
        {"nats.url", "nats://geheim@h"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loaded loaded = load_with_flag(REQUIRED, cases[i][0], cases[i][1]);
        assert_int_equal(loaded.status, -1);
        assert_non_null(strstr(buf_cstr(&loaded.errors), "secrets come from files"));
        assert_null(strstr(buf_cstr(&loaded.errors), "geheim"));
        loaded_done(&loaded);
    }
    struct loaded loaded = load_with_flag(REQUIRED, "postgres.dsn", "host=h passfile=/etc/p");
    assert_int_equal(loaded.status, 0);
    loaded_done(&loaded);
}

static void config_access_off_is_for_loopback_alone(void **state)
{
    (void)state;
    static const struct {
        const char *listen;
        int status;
    } cases[] = {
        {"127.0.0.1:8480", 0}, {"127.9.8.7:0", 0},   {"[::1]:8480", 0},
        {"localhost:8480", 0}, {"0.0.0.0:8480", -1}, {"[::]:8480", -1},
        {"10.0.0.1:80", -1},   {"[fe80::1]:1", -1},  {"[::ffff:127.0.0.1]:1", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("FLEETHUB_AUTH", "off", 1);
        struct loaded loaded = load_with_flag(REQUIRED, "http.listen", cases[i].listen);
        assert_int_equal(loaded.status, cases[i].status);
        if (cases[i].status != 0)
            assert_non_null(strstr(buf_cstr(&loaded.errors),
                                   "environment FLEETHUB_AUTH: auth.mode: `off` is allowed only"));
        else
            assert_true(config_listens_on_loopback(&loaded.config));
        loaded_done(&loaded);
        setenv("FLEETHUB_AUTH", "tokens", 1);
        loaded = load_with_flag(REQUIRED, "http.listen", cases[i].listen);
        assert_int_equal(loaded.status, 0);
        loaded_done(&loaded);
    }
}

/* The file agrees with itself, but the socket is still open to everybody. */
static void config_access_is_not_switched_off_where_a_public_address_is_listened_at(void **state)
{
    static const char *const addresses[] = {"0.0.0.0:8480", "127.0.0.1:8480"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        setenv("FLEETHUB_AUTH", "tokens", 1);
        struct loaded started = load_with_flag(REQUIRED, "http.listen", addresses[i]);
        assert_int_equal(started.status, 0);
        assert_true(config_reloadable(&started.config));
        setenv("FLEETHUB_AUTH", "off", 1);
        struct config_flag flag = {"http.listen", strlen("http.listen"), "127.0.0.1:8480"};
        struct config_request request = {.file = "t.yaml",
                                         .text = REQUIRED,
                                         .text_bytes = strlen(REQUIRED),
                                         .flags = &flag,
                                         .flag_count = 1};
        struct buf report = BUF_INIT;
        assert_int_equal(config_reload(&started.config, &request, &report), i == 0 ? -1 : 0);
        assert_int_equal(config_now(&started.config)->auth.mode, i == 0 ? AUTH_TOKENS : AUTH_OFF);
        if (i == 0)
            assert_non_null(strstr(buf_cstr(&report), "listens at 0.0.0.0:8480 until"));
        buf_done(&report);
        loaded_done(&started);
    }
    setenv("FLEETHUB_AUTH", "tokens", 1);
}

static bool load_everything(void *context)
{
    struct loaded loaded = load(context);
    bool good = loaded.status == 0;
    assert_true(good || loaded.errors.failed || loaded.errors.size_bytes > 0);
    loaded_done(&loaded);
    return good;
}

static void config_load_without_memory_says_so_and_leaks_nothing(void **state)
{
    (void)state;
    char text[] =
        REQUIRED "http: {cors_origins: ['https://a', 'https://b']}\n"
                 "auth: {jwt: [{issuer: a, audience: b, algorithm: ES256, key_file: c}]}\n";
    assert_true(fault_loop(load_everything, text) > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_errors_name_file_line_and_column),
        TEST(config_errors_name_the_variable_or_the_flag),
        TEST(config_tells_every_error_and_each_missing_key_once),
        TEST(config_errors_are_bounded_and_send_nothing_to_a_terminal),
        TEST(config_file_that_is_absent_or_too_large_is_one_error),
        TEST(config_aliases_in_circles_end),
        TEST(config_secrets_on_flags_are_refused_and_not_repeated),
        TEST(config_access_off_is_for_loopback_alone),
        TEST(config_access_is_not_switched_off_where_a_public_address_is_listened_at),
        TEST(config_load_without_memory_says_so_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
