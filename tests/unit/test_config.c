/* The configuration: what is read, and what wins. */
#include "hub/log.h"
#include "tests/unit/config_help.h"

#include <stdio.h>

static void config_with_the_four_keys_takes_the_contract_s_defaults(void **state)
{
    (void)state;
    const int64_t day_s = 24 * 60 * 60, gb = INT64_C(1) << 30;
    struct loaded loaded = load(REQUIRED);
    const struct config *config = &loaded.config;
    assert_string_equal(buf_cstr(&loaded.errors), "");
    assert_int_equal(loaded.status, 0);
    assert_string_equal(config->env, "test");
    assert_string_equal(config->region, "eu-north");
    assert_string_equal(config->nats.url, "nats://127.0.0.1:4222");
    assert_null(config->nats.creds);
    assert_int_equal(config->nats.replicas, 1);
    assert_int_equal(config->nats.streams, STREAMS_MANAGE);
    assert_int_equal(config->nats.shadow_key_style, KEY_SLASHES);
    assert_int_equal(config->nats.limits.payload_bytes, 262144);
    assert_int_equal(config->nats.limits.state_age_s, 3600);
    assert_int_equal(config->nats.limits.state_bytes, 10 * gb);
    assert_int_equal(config->nats.limits.events_age_s, 90 * day_s);
    assert_int_equal(config->nats.limits.events_bytes, 20 * gb);
    assert_int_equal(config->nats.limits.cmd_age_s, 300);
    assert_int_equal(config->nats.limits.ack_age_s, 7 * day_s);
    assert_int_equal(config->nats.limits.ack_bytes, 2 * gb);
    assert_int_equal(config->nats.limits.record_age_s, 90 * day_s);
    assert_int_equal(config->nats.limits.record_bytes, 20 * gb);
    assert_int_equal(config->nats.limits.commands_age_s, 30 * day_s);
    assert_string_equal(config->postgres.admin_dsn, config->postgres.dsn);
    assert_string_equal(config->http.listen, "127.0.0.1:8480");
    assert_true(config->http.cors_origins == NULL || config->http.cors_origins[0] == NULL);
    assert_int_equal(config->http.limits.connections, 16384);
    assert_int_equal(config->http.limits.per_address, 1024);
    assert_int_equal(config->http.limits.header_bytes, 16384);
    assert_int_equal(config->http.limits.body_bytes, 1048576);
    assert_int_equal(config->http.limits.requests_per_minute, 6000);
    assert_int_equal(config->http.limits.request_s, 60);
    assert_int_equal(config->http.limits.reply_s, 60);
    assert_int_equal(config->http.limits.streams_per_principal, 1024);
    assert_int_equal(config->http.limits.exports_per_principal, 8);
    assert_int_equal(config->auth.mode, AUTH_TOKENS);
    assert_int_equal(config->auth.jwt_count, 0);
    assert_int_equal(config->vehicles.admission, ADMISSION_OPEN);
    assert_int_equal(config->vehicles.max_clock_skew_s, 300);
    assert_true(config->presence.stale_after_s == 10 && config->presence.offline_after_s == 60);
    assert_int_equal(config->commands.confirm_above, 100);
    assert_int_equal(config->commands.default_ttl_s, 60);
    assert_true(config->commands.policy.max_alt_m == 120);
    assert_true(config->commands.policy.min_battery == 0.15);
    assert_int_equal(config->commands.policy.rate_per_vehicle_per_min, 30);
    assert_int_equal(config->record.retention_days, 365);
    assert_int_equal(config->record.checkpoint_s, 60);
    assert_int_equal(config->record.track_s, 10);
    assert_int_equal(config->log.level, LOG_INFO);
    assert_false(config->log.json);
    loaded_done(&loaded);
}

static void config_flag_wins_over_environment_and_environment_over_file(void **state)
{
    (void)state;
    static const char text[] = REQUIRED "http: {listen: '127.0.0.1:1'}\n";
    struct loaded loaded = load(text);
    assert_string_equal(loaded.config.http.listen, "127.0.0.1:1");
    loaded_done(&loaded);
    setenv("FLEETHUB_HTTP_LISTEN", "127.0.0.1:2", 1);
    loaded = load(text);
    assert_string_equal(loaded.config.http.listen, "127.0.0.1:2");
    loaded_done(&loaded);
    loaded = load_with_flag(text, "http.listen", "127.0.0.1:3");
    assert_string_equal(loaded.config.http.listen, "127.0.0.1:3");
    loaded_done(&loaded);
}

static void config_needs_no_file_when_the_environment_has_the_four_keys(void **state)
{
    (void)state;
    setenv("FLEETHUB_ENV", "prod", 1);
    setenv("FLEETHUB_REGION", "eu", 1);
    setenv("FLEETHUB_NATS_URL", "tls://a:4222, nats://b", 1);
    setenv("FLEETHUB_POSTGRES_DSN", "postgresql://u:p@h/d", 1);
    setenv("FLEETHUB_AUTH", "off", 1);
    setenv("FLEETHUB_HTTP_LISTEN", "", 1); /* set to nothing is not set */
    struct loaded loaded = load(NULL);
    assert_string_equal(buf_cstr(&loaded.errors), "");
    assert_int_equal(loaded.status, 0);
    assert_string_equal(loaded.config.postgres.dsn, "postgresql://u:p@h/d");
    assert_int_equal(loaded.config.auth.mode, AUTH_OFF);
    assert_string_equal(loaded.config.http.listen, "127.0.0.1:8480");
    loaded_done(&loaded);
}

/* A good value that is not the default, as YAML. */
static const char *sample_of(const struct config_key *key)
{
    static char text[CONFIG_NAME_MAX_BYTES];
    switch (key->type) {
    case CONFIG_NATS:
        return "nats://sample:4223";
    case CONFIG_DSN:
        return "host=sample";
    case CONFIG_LISTEN:
        return "127.0.0.1:1234";
    case CONFIG_ORIGINS:
        return "[\"https://sample.example\"]";
    case CONFIG_TYPES:
        return "[\"sample.type\"]";
    case CONFIG_CHOICE: /* the second one: never the default, or the default is not the first */
        snprintf(text, sizeof text, "%s", strcmp(key->name, "log.level") == 0 ? "debug" : "");
        if (!*text) {
            const char *second = strchr(key->choices, '|') + 1;
            snprintf(text, sizeof text, "%.*s", (int)strcspn(second, "|"), second);
        }
        return text;
    case CONFIG_INTEGER:
    case CONFIG_REAL:
    case CONFIG_AGE:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        /* Nobody's default, and offline_after_s keeps above stale_after_s. */
        snprintf(text, sizeof text, "%.17g",
                 strcmp(key->name, "presence.offline_after_s") == 0 ? key->max : key->min);
        return text;
    default:
        return "sample";
    }
}

static void assert_in_force(const struct config *config, const struct config_key *key,
                            const char *sample, enum config_source source)
{
    struct config expected = {0};
    struct buf is = BUF_INIT, wanted = BUF_INIT;
    char why[CONFIG_WHY_BYTES], element[CONFIG_NAME_MAX_BYTES];
    if (sample[0] == '[') { /* the one element of the list */
        snprintf(element, sizeof element, "%.*s", (int)strlen(sample) - 4, sample + 2);
        sample = element;
    }
    assert_true(config_value_set(&expected, key, sample, why));
    assert_true(config_value_write(config, key, &is));
    assert_true(config_value_write(&expected, key, &wanted));
    assert_string_equal(buf_cstr(&is), buf_cstr(&wanted));
    assert_int_equal(config_origin(config, key)->source, source);
    buf_done(&is);
    buf_done(&wanted);
    config_value_done(&expected, key);
}

/* The key nested as YAML wants it, with the keys that it cannot stand without. */
static void nest(struct buf *text, const struct config_key *key, const char *value)
{
    const char *part = key->name;
    for (const char *dot; (dot = strchr(part, '.')) != NULL; part = dot + 1)
        buf_addf(text, "%.*s: {", (int)(dot - part), part);
    buf_addf(text, "%s: '%s'", part, value);
    if (value[0] == '[' || key->type == CONFIG_INTEGER || key->type == CONFIG_REAL) {
        text->size_bytes -= strlen(value) + 2;
        buf_adds(text, value);
    }
    bool pair = strstr(key->name, "tls.cert") || strstr(key->name, "tls.key");
    if (pair)
        buf_addf(text, ", %s: other", strcmp(part, "key") == 0 ? "cert" : "key");
    for (const char *dot = key->name; (dot = strchr(dot, '.')) != NULL; dot++)
        buf_addc(text, '}');
    buf_addc(text, '\n');
}

static void set_required(const char *but)
{
    static const char *const values[][2] = {
        {"env", "e"}, {"region", "r"}, {"nats.url", "nats://h"}, {"postgres.dsn", "host=h"}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strcmp(values[i][0], but) != 0)
            setenv(key_named(values[i][0])->variable, values[i][1], 1);
}

static void config_every_key_is_reachable_from_file_and_flag_and_its_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->type == CONFIG_JWT)
            continue; /* has tests of its own */
        const char *sample = sample_of(key);
        struct buf text = BUF_INIT;
        clear_environment(NULL);
        set_required(key->name);
        nest(&text, key, sample);
        struct loaded loaded = load(buf_cstr(&text));
        assert_string_equal(buf_cstr(&loaded.errors), "");
        assert_in_force(&loaded.config, key, sample, SOURCE_FILE);
        loaded_done(&loaded);
        if (!strstr(key->name, "tls.")) { /* a pair takes two flags */
            loaded = load_with_flag(NULL, key->name, sample);
            assert_string_equal(buf_cstr(&loaded.errors), "");
            assert_in_force(&loaded.config, key, sample, SOURCE_FLAG);
            loaded_done(&loaded);
        }
        if (key->variable) {
            setenv(key->variable, sample, 1);
            loaded = load(NULL);
            assert_string_equal(buf_cstr(&loaded.errors), "");
            assert_in_force(&loaded.config, key, sample, SOURCE_ENVIRONMENT);
            loaded_done(&loaded);
        }
        buf_done(&text);
    }
}

static void config_issuers_of_jwts_are_a_list_of_mappings(void **state)
{
    (void)state;
    struct loaded loaded =
        load(REQUIRED "auth:\n  jwt:\n"
                      "    - {issuer: a, audience: b, algorithm: RS256, key_file: c}\n"
                      "    - issuer: d\n      key_file: f\n"
                      "      algorithm: EdDSA\n      audience: e\n");
    assert_string_equal(buf_cstr(&loaded.errors), "");
    assert_int_equal(loaded.config.auth.jwt_count, 2);
    assert_string_equal(loaded.config.auth.jwt[0].issuer, "a");
    assert_int_equal(loaded.config.auth.jwt[0].algorithm, JWT_RS256);
    assert_string_equal(loaded.config.auth.jwt[1].audience, "e");
    assert_string_equal(loaded.config.auth.jwt[1].key_file, "f");
    assert_int_equal(loaded.config.auth.jwt[1].algorithm, JWT_EDDSA);
    loaded_done(&loaded);
}

static void config_lists_on_flags_are_yaml_or_words_between_commas(void **state)
{
    (void)state;
    static const char *const texts[] = {"a, b.c", "[a, 'b.c']", " [ \"a\",b.c ] "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct loaded loaded = load_with_flag(REQUIRED, "commands.extra_types", texts[i]);
        assert_string_equal(buf_cstr(&loaded.errors), "");
        assert_string_equal(loaded.config.commands.extra_types[0], "a");
        assert_string_equal(loaded.config.commands.extra_types[1], "b.c");
        assert_null(loaded.config.commands.extra_types[2]);
        loaded_done(&loaded);
    }
}

static void config_migrate_needs_the_database_alone(void **state)
{
    (void)state;
    struct config config;
    struct buf errors = BUF_INIT;
    struct config_request request = {.required = "postgres."};
    setenv("FLEETHUB_POSTGRES_DSN", "host=h", 1);
    assert_int_equal(config_load(&request, &config, &errors), 0);
    config_done(&config);
    unsetenv("FLEETHUB_POSTGRES_DSN");
    assert_int_equal(config_load(&request, &config, &errors), -1);
    assert_memory_equal(buf_cstr(&errors), "configuration: postgres.dsn: is missing", 39);
    assert_null(strchr(buf_cstr(&errors), '\n')[1] ? "one error" : NULL);
    buf_done(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_with_the_four_keys_takes_the_contract_s_defaults),
        TEST(config_flag_wins_over_environment_and_environment_over_file),
        TEST(config_needs_no_file_when_the_environment_has_the_four_keys),
        TEST(config_every_key_is_reachable_from_file_and_flag_and_its_variable),
        TEST(config_issuers_of_jwts_are_a_list_of_mappings),
        TEST(config_lists_on_flags_are_yaml_or_words_between_commas),
        TEST(config_migrate_needs_the_database_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
