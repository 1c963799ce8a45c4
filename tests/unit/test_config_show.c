/* The configuration: single values, what is shown and hidden, the example, the schema, the table.
 */
#include "tests/unit/config_help.h"

#include "twin/doc.h"

#include <stdio.h>

/* ---- values ---- */

static void config_sizes_and_ages_are_read_with_and_without_units(void **state)
{
    (void)state;
    static const struct {
        enum config_type type;
        const char *text;
        double value; /* -1: refused */
    } cases[] = {
        {CONFIG_SIZE, "256MB", 256.0 * 1024 * 1024},
        {CONFIG_SIZE, "10GB", 10737418240.0},
        {CONFIG_SIZE, "1 gib", 1073741824.0},
        {CONFIG_SIZE, "1.5kB", 1536},
        {CONFIG_SIZE, "7B", 7},
        {CONFIG_SIZE, "262144", 262144},
        {CONFIG_SIZE, "1e3", 1000},
        {CONFIG_SIZE, "10G", -1},
        {CONFIG_SIZE, "GB", -1},
        {CONFIG_SIZE, "0x10", -1},
        {CONFIG_SIZE, "1GB ", -1},
        {CONFIG_AGE, "90d", 7776000},
        {CONFIG_AGE, "1h", 3600},
        {CONFIG_AGE, "5min", 300},
        {CONFIG_AGE, "5m", 300},
        {CONFIG_AGE, "1.1h", 3960},
        {CONFIG_AGE, "45", 45},
        {CONFIG_AGE, "5M", -1},
        {CONFIG_AGE, "1h30m", -1},
        {CONFIG_DURATION, "500ms", 0.5},
        {CONFIG_DURATION, ".25", 0.25},
        {CONFIG_DURATION, "nan", -1},
        {CONFIG_DURATION, "inf", -1},
        {CONFIG_DURATION, "1e999", -1},
        {CONFIG_DURATION, "", -1},
        {CONFIG_DURATION, ".", -1},
        {CONFIG_DURATION, " 1", -1},
        {CONFIG_INTEGER, "7d", -1},
        {CONFIG_INTEGER, "1,000", -1},
        {CONFIG_REAL, "0.15", 0.15},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double value = -1;
        bool read = config_number_read(cases[i].type, cases[i].text, &value);
        if (read != (cases[i].value >= 0) || value != cases[i].value)
            fail_msg("`%s` became %g", cases[i].text, value);
    }
}

static void config_numbers_are_written_as_one_would_and_read_back(void **state)
{
    (void)state;
    static const struct {
        enum config_type type;
        double value;
        const char *text;
    } cases[] = {
        {CONFIG_SIZE, 262144, "256KB"},
        {CONFIG_SIZE, 1025, "1025"},
        {CONFIG_SIZE, 0, "0"},
        {CONFIG_AGE, 90 * 86400.0, "90d"},
        {CONFIG_AGE, 90, "90"},
        {CONFIG_AGE, 5400, "90min"},
        {CONFIG_DURATION, 0.1, "0.1"},
        {CONFIG_REAL, 0.15, "0.15"},
        {CONFIG_REAL, 1.0 / 3, "0.3333333333333333"},
        {CONFIG_INTEGER, 16384, "16384"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = BUF_INIT;
        double value = -1;
        config_number_write(cases[i].type, cases[i].value, &text);
        assert_string_equal(buf_cstr(&text), cases[i].text);
        assert_true(config_number_read(cases[i].type, cases[i].text, &value));
        assert_true(value == cases[i].value);
        buf_done(&text);
    }
}

static void config_texts_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char too_long[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_int_equal(strlen(too_long), 65);
    const struct {
        bool (*check)(const char *text, char why[CONFIG_WHY_BYTES]);
        const char *text;
        bool good;
    } cases[] = {
        {config_check_token, "eu-north_1", true},
        {config_check_token, too_long + 1, true},
        {config_check_token, too_long, false},
        {config_check_token, "", false},
        {config_check_token, "a.b", false},
        {config_check_token, "a b", false},
        {config_check_token, "\xc3\xa5", false},
        {config_check_listen, "127.0.0.1:8480", true},
        {config_check_listen, "[::1]:0", true},
        {config_check_listen, "0.0.0.0:65535", true},
        {config_check_listen, "127.0.0.1", false},
        {config_check_listen, "127.0.0.1:", false},
        {config_check_listen, "127.0.0.1:65536", false},
        {config_check_listen, "127.0.0.1:+80", false},
        {config_check_listen, "::1:80", false},
        {config_check_listen, "[127.0.0.1]:80", false},
        {config_check_listen, ":80", false},
        {config_check_listen, "example.org:80", false},
        {config_check_listen, "256.0.0.1:80", false},
        {config_check_nats, "nats://127.0.0.1:4222", true},
        {config_check_nats, "host", true},
        {config_check_nats, "nats://u:p%40@h:1, tls://[::1]:2", true},
        {config_check_nats, "http://h:1", false},
        {config_check_nats, "nats://", false},
        {config_check_nats, "nats://h:0", false},
        {config_check_nats, "nats://h:x", false},
        {config_check_nats, "nats://a,,b", false},
        {config_check_nats, "nats://a b", false},
        {config_check_dsn, "host=h password='a b' dbname=d", true},
        {config_check_dsn, "postgresql:///d", true},
        {config_check_dsn, "host=h password='a b'!dbname=d", false},
        {config_check_dsn, "fleethub", false},
        {config_check_dsn, "host=h fleethub", false},
        {config_check_dsn, "=h", false},
        {config_check_dsn, "mysql://h/d", false},
        {config_check_origin, "https://ops.example.org", true},
        {config_check_origin, "http://127.0.0.1:3000", true},
        {config_check_origin, "*", true},
        {config_check_origin, "https://a/", false},
        {config_check_origin, "ops.example.org", false},
        {config_check_command_type, "gimbal.point", true},
        {config_check_command_type, "a.b.c.d", true},
        {config_check_command_type, "a.b.c.d.e", false},
        {config_check_command_type, "a..b", false},
        {config_check_command_type, ".a", false},
        {config_check_command_type, "manual", false},
        {config_check_command_type, "manual_control", false},
        {config_check_command_type, "rc.override", false},
        {config_check_command_type, "RC_CHANNELS", false},
        {config_check_command_type, "velocity.body", false},
        {config_check_command_type, "attitude", false},
        {config_check_command_type, "motor.test", false},
        {config_check_command_type, "actuator-1", false},
        {config_check_command_type, "camera.rc", true},
        {config_check_text, "a\x1b", false},
        {config_check_text, "a\xff", false},
        {config_check_text, "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[CONFIG_WHY_BYTES] = "";
        if (cases[i].check(cases[i].text, why) != cases[i].good)
            fail_msg("`%s` was %s", cases[i].text, cases[i].good ? why : "accepted");
        assert_true(cases[i].good || *why);
    }
}

/* ---- showing ---- */

static void config_passwords_are_hidden_wherever_they_stand(void **state)
{
    (void)state;
    static const struct {
        void (*hide)(const char *text, struct buf *out);
        const char *text, *shown;
    } cases[] = {
        {config_hide_dsn, "host=h password=geheim user=u", "host=h password=*** user=u"},
        {config_hide_dsn, "password = 'ge h\\'eim' host=h", "password = *** host=h"},
        {config_hide_dsn, "PASSWORD=geheim", "PASSWORD=***"},
        {config_hide_dsn, "sslpassword=geheim", "sslpassword=***"},
        {config_hide_dsn, "password=ge\\ heim host=h", "password=*** host=h"},
        {config_hide_dsn, "password='geheim", "password=***"},
        {config_hide_dsn, "host='h'password=geheim", "host=***password=***"},
        {config_hide_dsn, "password=ge heim", "password=*** ***"},
        {config_hide_dsn, "host=h passfile=/p", "host=h passfile=/p"},
        {config_hide_dsn, "postgres://u:geheim@h:5432/d", "postgres://u:***@h:5432/d"},
        {config_hide_dsn, "postgresql://u:ge/heim@h/d", "postgresql://u:***@h/d"},
        {config_hide_dsn, "postgresql://u:ge?heim@h/d", "postgresql://u:***@h/d"},
        {config_hide_dsn, "postgresql://u:ge@heim@h/d", "postgresql://u:***@h/d"},
        {config_hide_dsn, "postgresql://u@h:1/d?application_name=a@b",
         "postgresql://u@h:1/d?application_name=a@b"},
        {config_hide_dsn, "postgresql://h/d?user=u&password=geheim&x=y",
         "postgresql://h/d?user=u&password=***&x=y"},
        {config_hide_dsn, "postgresql://h/d?p%61ssword=geheim", "postgresql://h/d?p%61ssword=***"},
        {config_hide_nats_url, "nats://u:geheim@h:4222", "nats://u:***@h:4222"},
        {config_hide_nats_url, "nats://geheim@h", "nats://***@h"},
        {config_hide_nats_url, "u:geheim@h,nats://b,tls://geheim@c",
         "u:***@h,nats://b,tls://***@c"},
        {config_hide_nats_url, "nats://h:4222", "nats://h:4222"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf shown = BUF_INIT;
        cases[i].hide(cases[i].text, &shown);
        assert_string_equal(buf_cstr(&shown), cases[i].shown);
        buf_done(&shown);
    }
}

static void config_show_names_sources_and_hides_passwords(void **state)
{
    (void)state;
    struct buf shown = BUF_INIT;
    setenv("FLEETHUB_NATS_URL", "nats://u:geheim@h", 1);
    struct loaded loaded =
        load_with_flag("env: e\nregion: r\npostgres:\n  dsn: host=h password=geheim\n",
                       "presence.stale_after_s", "500ms");
    assert_string_equal(buf_cstr(&loaded.errors), "");
    config_show(&loaded.config, true, &shown);
    const char *text = buf_cstr(&shown);
    assert_null(strstr(text, "geheim"));
    assert_non_null(strstr(text, "env: e  # t.yaml:1:6\n"));
    assert_non_null(strstr(text, "nats:\n  url: \"nats://u:***@h\"  # environment "
                                 "FLEETHUB_NATS_URL\n"));
    assert_non_null(strstr(text, "\n  dsn: \"host=h password=***\"  # t.yaml:4:8\n"));
    assert_non_null(strstr(text, "\n  stale_after_s: 0.5  # flag --presence.stale_after_s\n"));
    assert_non_null(strstr(text, "\n    state_bytes: 10GB  # default\n"));
    assert_non_null(strstr(text, "\n  # creds: not set\n"));
    loaded_done(&loaded);
    buf_done(&shown);
}

static void config_show_reads_back_as_what_was_shown(void **state)
{
    (void)state;
    struct buf shown = BUF_INIT, again = BUF_INIT;
    struct loaded loaded = load(
        "env: e\nregion: \"null\"\nnats: {url: '[::1]:4222,b', creds: \"a #b: \xc3\xa5'\\\"\"}\n"
        "postgres: {dsn: \"host='a b' password='x'\"}\n"
        "http: {listen: '[::1]:0', cors_origins: ['*', 'https://a:1']}\n"
        "auth: {mode: off, jwt: [{issuer: 'a: b', audience: '#', algorithm: ES256, key_file: "
        "'- x'}]}\n"
        "commands: {extra_types: [a, b.c], policy: {min_battery: 0.333333333333}}\n");
    assert_string_equal(buf_cstr(&loaded.errors), "");
    config_show(&loaded.config, true, &shown);
    struct loaded reread = load(buf_cstr(&shown));
    assert_string_equal(buf_cstr(&reread.errors), "");
    assert_string_equal(reread.config.region, "null");
    assert_string_equal(reread.config.nats.creds, loaded.config.nats.creds);
    buf_reset(&shown);
    config_show(&loaded.config, false, &shown);
    config_show(&reread.config, false, &again);
    assert_string_equal(buf_cstr(&shown), buf_cstr(&again));
    loaded_done(&loaded);
    loaded_done(&reread);
    buf_done(&shown);
    buf_done(&again);
}

/* ---- the example ---- */

/* Takes the comment mark from the line that holds the key, at any depth. */
static void uncomment(char *text, const char *line)
{
    char *at = strstr(text, line);
    assert_non_null(at);
    at[0] = ' ';
    memmove(at, at + 2, strlen(at + 2) + 1);
}

static void config_example_lacks_only_the_four_required_keys(void **state)
{
    (void)state;
    struct buf example = BUF_INIT, of_example = BUF_INIT, of_defaults = BUF_INIT;
    config_example(&example);
    struct loaded loaded = load(buf_cstr(&example));
    size_t errors = 0;
    for (size_t i = 0; i < loaded.errors.size_bytes; i++)
        errors += loaded.errors.data[i] == '\n';
    assert_int_equal(errors, 4);
    loaded_done(&loaded);

    char *text = buf_take(&example, NULL);
    uncomment(text, "# env: prod\n");
    uncomment(text, "# region: eu-north\n");
    uncomment(text, "# url: nats://");
    uncomment(text, "# dsn: host=");
    loaded = load(text);
    assert_string_equal(buf_cstr(&loaded.errors), "");
    struct loaded defaults =
        load("env: prod\nregion: eu-north\nnats: {url: 'nats://127.0.0.1:4222'}\n"
             "postgres: {dsn: host=127.0.0.1 dbname=fleethub user=fleethub "
             "passfile=/etc/fleethub/pgpass}\n");
    config_show(&loaded.config, false, &of_example);
    config_show(&defaults.config, false, &of_defaults);
    assert_string_equal(buf_cstr(&of_example), buf_cstr(&of_defaults));
    loaded_done(&loaded);
    loaded_done(&defaults);
    buf_done(&of_example);
    buf_done(&of_defaults);
    free(text);
}

static void config_example_names_every_key_and_its_commented_lines_are_good(void **state)
{
    (void)state;
    struct buf example = BUF_INIT;
    config_example(&example);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const char *dot = strrchr(key->name, '.');
        char line[CONFIG_NAME_MAX_BYTES + 8];
        snprintf(line, sizeof line, "%s%s: ", key->fallback ? "" : "# ", dot ? dot + 1 : key->name);
        assert_non_null(strstr(buf_cstr(&example), line));
        if (key->fallback)
            continue;
        assert_non_null(key->example);
        bool pair = strstr(key->name, "tls.cert") || strstr(key->name, "tls.key");
        struct loaded loaded = load_with_flag(REQUIRED, key->name, key->example);
        assert_int_equal(loaded.status, pair ? -1 : 0);
        loaded_done(&loaded);
    }
    buf_done(&example);
}

/* ---- the schema ---- */

static void config_schema_in_the_tree_is_what_the_table_makes(void **state)
{
    (void)state;
    struct buf made = BUF_INIT;
    const char *folder = getenv("FLEETHUB_SOURCE_DIR");
    char path[4096], bytes[65536];
    snprintf(path, sizeof path, "%s/schema/config.schema.json", folder ? folder : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes - 1, file);
    fclose(file);
    bytes[size] = '\0';
    config_schema(&made);
    /* Where it differs: fleethub config schema >schema/config.schema.json */
    assert_string_equal(bytes, buf_cstr(&made));
    buf_done(&made);
}

static void config_schema_is_json_and_describes_every_key(void **state)
{
    (void)state;
    struct buf made = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref root;
    struct doc_limits limits = {.max_bytes = 1 << 20, .max_depth = 32};
    config_schema(&made);
    assert_int_equal(doc_parse(parser, made.data, made.size_bytes, limits, &root), DOC_OK);
    for (size_t i = 0; i < config_key_count; i++) {
        struct doc_ref at = root;
        for (const char *part = config_keys[i].name; part;) {
            size_t size = strcspn(part, ".");
            at = doc_get(doc_getz(at, "properties"), part, size);
            assert_true(doc_exists(at));
            part = part[size] ? part + size + 1 : NULL;
        }
        assert_true(doc_is(doc_getz(at, "description"), DOC_STRING));
        assert_true(doc_exists(doc_getz(at, "type")));
    }
    doc_parser_free(parser);
    buf_done(&made);
}

/* ---- the table ---- */

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void config_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char why[CONFIG_WHY_BYTES];
        struct config config = {0};
        assert_true(strlen(key->name) < CONFIG_NAME_MAX_BYTES);
        assert_ptr_equal(key_named(key->name), key);
        assert_true(key->help[strlen(key->help) - 1] == '.');
        assert_false(config_is_group(key->name, strlen(key->name)));
        assert_true(!key->required || (!key->fallback && key->variable));
        if (key->fallback)
            assert_true(config_value_set(&config, key, key->fallback, why));
        config_value_done(&config, key);
        /* SIGHUP reloads log, presence, commands, http.limits, http.cors_origins, auth. */
        assert_int_equal(key->reloadable,
                         begins(key->name, "log.") || begins(key->name, "presence.") ||
                             begins(key->name, "commands.") || begins(key->name, "http.limits.") ||
                             begins(key->name, "http.cors_origins") || begins(key->name, "auth."));
        for (size_t j = 0; j < i; j++) /* no two keys write one member */
            assert_true(config_keys[j].offset + config_keys[j].size <= key->offset ||
                        key->offset + key->size <= config_keys[j].offset);
    }
}

static void config_suggestion_is_the_nearest_name_or_none(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"nat", "nats"},
        {"nats.ulr", "nats.url"},
        {"presence.offline_after", "presence.offline_after_s"},
        {"listen", "http.listen"},
        {"post.dsn", "postgres.dsn"},
        {"htpp", "http"},
        {"nats.limits.paylod_bytes", "nats.limits.payload_bytes"},
        {"something_else", NULL},
        {"x", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char suggestion[CONFIG_NAME_MAX_BYTES];
        const char *meant = config_suggest(cases[i][0], strlen(cases[i][0]), suggestion);
        if (cases[i][1])
            assert_string_equal(meant ? meant : "none", cases[i][1]);
        else
            assert_null(meant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_sizes_and_ages_are_read_with_and_without_units),
        TEST(config_numbers_are_written_as_one_would_and_read_back),
        TEST(config_texts_that_make_no_sense_are_refused),
        TEST(config_passwords_are_hidden_wherever_they_stand),
        TEST(config_show_names_sources_and_hides_passwords),
        TEST(config_show_reads_back_as_what_was_shown),
        TEST(config_example_lacks_only_the_four_required_keys),
        TEST(config_example_names_every_key_and_its_commented_lines_are_good),
        TEST(config_schema_in_the_tree_is_what_the_table_makes),
        TEST(config_schema_is_json_and_describes_every_key),
        TEST(config_table_is_sound),
        TEST(config_suggestion_is_the_nearest_name_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
