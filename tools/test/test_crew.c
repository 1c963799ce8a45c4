/* crew: how vehicles answer commands, and the account they give of it. */
#include "tools/crew.h"

#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VEHICLES = 3, WORDS_MAX = 64 };
#define NOW_REAL_NS (INT64_C(1768473000) * NS_PER_S) /* 2026-01-15T10:30:00Z */
#define LATER "2026-01-15T10:31:00Z"
#define EARLIER "2026-01-15T10:29:59Z"

static struct stage {
    struct crew_options options;
    struct roster *roster;
    struct crew *crew;
    char words[WORDS_MAX][160]; /* "V1 rtl accepted", as said */
    int word_count;
    unsigned acted[VEHICLES], restarts[VEHICLES];
    bool mute_way, is_done;
    enum crew_act answer;
    int64_t now_ns;
} stage;

static bool say(void *closure, uint32_t vehicle, const char *type, const char *data, size_t size)
{
    char status[32] = "";
    const char *at = strstr(data, "\"status\":\"");
    (void)closure;
    assert_int_equal(strlen(data), size);
    if (stage.mute_way)
        return false;
    assert_non_null(at);
    sscanf(at, "\"status\":\"%31[a-z]", status);
    assert_true(stage.word_count < WORDS_MAX);
    snprintf(stage.words[stage.word_count++], sizeof *stage.words, "%s %s %s",
             roster_vid(stage.roster, vehicle), type, status);
    return true;
}

static enum crew_act act(void *closure, uint32_t vehicle, const char *type, struct doc_ref params,
                         struct crew_refusal *refusal)
{
    (void)closure;
    (void)params;
    if (strcmp(type, "paint") == 0) {
        *refusal = (struct crew_refusal){"it knows no such command", CODE_UNSUPPORTED};
        return ACT_REFUSED;
    }
    stage.acted[vehicle]++;
    return stage.answer;
}

static bool done(void *closure, uint32_t vehicle)
{
    (void)closure;
    (void)vehicle;
    return stage.is_done;
}

static void restart(void *closure, uint32_t vehicle)
{
    (void)closure;
    stage.restarts[vehicle]++;
}

static void open_stage(struct crew_options options)
{
    struct crew_config config = {.env = "dev",
                                 .options = &stage.options,
                                 .seed = 1,
                                 .say = say,
                                 .act = act,
                                 .done = done,
                                 .restart = restart};
    memset(&stage, 0, sizeof stage);
    stage.options = options;
    stage.answer = ACT_DONE;
    stage.roster = roster_new();
    assert_non_null(stage.roster);
    for (int i = 0; i < VEHICLES; i++) {
        char vid[8];
        roster_add(stage.roster, vid, (size_t)snprintf(vid, sizeof vid, "V%d", i + 1));
    }
    config.roster = stage.roster;
    stage.crew = crew_new(&config);
    assert_non_null(stage.crew);
}

static void hear_until(const char *vid, const char *type, const char *id, const char *expires)
{
    char subject[128], payload[512];
    snprintf(subject, sizeof subject, "fleet.dev.veh.%s.cmd.%s", vid, type);
    int size = snprintf(payload, sizeof payload,
                        "{\"vid\":\"%s\",\"timestamp\":\"2026-01-15T10:30:00Z\",\"data\":{"
                        "\"cmd_id\":\"%s.%s\",\"type\":\"%s\",\"params\":{},\"issued_by\":\"me\","
                        "\"issued_at\":\"2026-01-15T10:30:00Z\",\"expires_at\":\"%s\"}}",
                        vid, id, vid, type, expires);
    crew_hear(stage.crew, subject, payload, (size_t)size, stage.now_ns, NOW_REAL_NS);
}

static void hear(const char *vid, const char *type, const char *id)
{
    hear_until(vid, type, id, LATER);
}

/* Lets time pass in small steps. */
static void pass(double seconds)
{
    int64_t end_ns = stage.now_ns + (int64_t)(seconds * (double)NS_PER_S);
    for (; stage.now_ns < end_ns; stage.now_ns += 5 * NS_PER_MS)
        crew_tick(stage.crew, stage.now_ns);
}

static void assert_said(const char *const *words)
{
    int i = 0;
    for (; words[i]; i++) {
        assert_true(i < stage.word_count);
        assert_string_equal(stage.words[i], words[i]);
    }
    assert_int_equal(stage.word_count, i);
}
#define SAID(...) assert_said((const char *const[]){__VA_ARGS__, NULL})

static void assert_account(const char *expected)
{
    struct buf account = BUF_INIT;
    crew_write_account(stage.crew, &account);
    assert_string_equal(buf_cstr(&account), expected);
    buf_done(&account);
}

static void close_stage(void)
{
    crew_free(stage.crew);
    roster_free(stage.roster);
}

static void crew_accepts_acts_and_completes(void **state)
{
    (void)state;
    open_stage((struct crew_options){.latency_ms = 50, .complete_ms = -1});
    stage.answer = ACT_BEGUN;
    hear("V1", "rtl", "c1");
    assert_int_equal(stage.acted[0], 0); /* it takes its time */
    pass(0.1);
    SAID("V1 rtl accepted");
    assert_int_equal(stage.acted[0], 1);
    pass(5);
    SAID("V1 rtl accepted");
    stage.is_done = true;
    pass(0.2);
    SAID("V1 rtl accepted", "V1 rtl completed");
    assert_account(
        "{\"vid\":\"V1\",\"cmd_id\":\"c1.V1\",\"type\":\"rtl\",\"fate\":\"obey\",\"heard\":"
        "1,\"acted\":1,\"acks\":{\"accepted\":1,\"completed\":1},\"outcome\":"
        "\"completed\",\"error\":null,\"code\":null}\n");
    close_stage();
}

static void crew_repeats_its_last_word_and_acts_once(void **state)
{
    (void)state;
    open_stage((struct crew_options){.complete_ms = 1000});
    hear("V1", "rtl", "c1");
    hear("V1", "rtl", "c1"); /* before it has said a word */
    pass(0.1);
    hear("V1", "rtl", "c1");
    SAID("V1 rtl accepted", "V1 rtl accepted");
    pass(2);
    hear("V1", "rtl", "c1");
    hear("V2", "rtl", "c1");
    pass(2);
    SAID("V1 rtl accepted", "V1 rtl accepted", "V1 rtl completed", "V1 rtl completed",
         "V2 rtl accepted", "V2 rtl completed");
    assert_int_equal(stage.acted[0], 1);
    assert_int_equal(stage.acted[1], 1);
    close_stage();
}

static void crew_refuses_what_is_too_late_and_what_it_does_not_know(void **state)
{
    (void)state;
    open_stage((struct crew_options){.complete_ms = 0});
    hear_until("V1", "rtl", "c1", EARLIER);
    hear("V2", "paint", "c2");
    pass(0.1);
    SAID("V1 rtl rejected", "V2 paint rejected");
    assert_int_equal(stage.acted[0] + stage.acted[1], 0);
    assert_account("{\"vid\":\"V1\",\"cmd_id\":\"c1.V1\",\"type\":\"rtl\",\"fate\":\"expired\","
                   "\"heard\":1,\"acted\":0,\"acks\":{\"rejected\":1},\"outcome\":\"rejected\","
                   "\"error\":\"expired\",\"code\":2}\n"
                   "{\"vid\":\"V2\",\"cmd_id\":\"c2.V2\",\"type\":\"paint\",\"fate\":\"obey\","
                   "\"heard\":1,\"acted\":0,\"acks\":{\"rejected\":1},\"outcome\":\"rejected\","
                   "\"error\":\"it knows no such command\",\"code\":3}\n");
    close_stage();
}

static void crew_of_each_fate_says_and_does_what_its_name_says(void **state)
{
    (void)state;
    static const struct {
        enum crew_fate fate;
        unsigned acted;
        const char *words[3];
    } cases[] = {
        {FATE_SILENT, 0, {NULL}},
        {FATE_WORDLESS, 1, {NULL}},
        {FATE_MUTE, 1, {"V1 land accepted", NULL}},
        {FATE_REFUSE, 0, {"V1 land rejected", NULL}},
        {FATE_FAIL, 1, {"V1 land accepted", "V1 land failed", NULL}},
        {FATE_IGNORE, 0, {"V1 land accepted", "V1 land completed", NULL}},
        {FATE_RESTART, 1, {"V1 land accepted", NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct crew_options options = {.complete_ms = 10, .restart_s = 1};
        options.fate_pct[cases[i].fate] = 100;
        open_stage(options);
        hear("V1", "land", "c1");
        pass(3);
        assert_said(cases[i].words);
        assert_int_equal(stage.acted[0], cases[i].acted);
        assert_int_equal(stage.restarts[0], cases[i].fate == FATE_RESTART);
        close_stage();
    }
}

static void crew_that_restarts_forgets_only_where_it_is_told_to(void **state)
{
    (void)state;
    for (int forget = 0; forget < 2; forget++) {
        struct crew_options options = {.complete_ms = 100, .restart_s = 1, .forget = forget};
        options.fate_pct[FATE_RESTART] = 100;
        open_stage(options);
        hear("V1", "land", "c1");
        pass(0.3);
        hear("V1", "land", "c1"); /* nobody listens there now */
        pass(1.2);
        SAID("V1 land accepted");
        hear("V1", "land", "c1");
        pass(0.05);
        SAID("V1 land accepted", "V1 land accepted");
        assert_int_equal(stage.acted[0], 1 + forget);
        assert_int_equal(crew_counts(stage.crew)->unheard, 1);
        close_stage();
    }
}

static void crew_cut_off_hears_nothing_and_speaks_when_it_is_back(void **state)
{
    (void)state;
    open_stage((struct crew_options){
        .complete_ms = 1000, .offline_pct = 100, .offline_from_s = 1, .offline_for_s = 5});
    pass(0.5);
    hear("V1", "rtl", "c1"); /* completes while it is cut off, at 1 s to 2 s */
    pass(1.8);
    assert_true(crew_is_offline(stage.crew, 0, stage.now_ns));
    hear("V1", "rtl", "c2");
    pass(3.5);
    SAID("V1 rtl accepted");
    pass(1);
    assert_false(crew_is_offline(stage.crew, 0, stage.now_ns));
    SAID("V1 rtl accepted", "V1 rtl completed");
    close_stage();
}

static void crew_words_wait_for_a_way(void **state)
{
    (void)state;
    open_stage((struct crew_options){.complete_ms = -1});
    stage.mute_way = true;
    hear("V1", "rtl", "c1");
    pass(1);
    assert_said((const char *const[]){NULL});
    stage.mute_way = false;
    pass(0.2);
    SAID("V1 rtl accepted", "V1 rtl completed");
    assert_int_equal(stage.acted[0], 1);
    close_stage();
}

static void crew_says_words_twice_and_out_of_order_if_it_is_told_to(void **state)
{
    (void)state;
    open_stage((struct crew_options){.complete_ms = 2000, .duplicate_pct = 100});
    hear("V1", "rtl", "c1");
    pass(0.9);
    SAID("V1 rtl accepted", "V1 rtl accepted");
    pass(4);
    SAID("V1 rtl accepted", "V1 rtl accepted", "V1 rtl completed", "V1 rtl completed");
    close_stage();
    open_stage((struct crew_options){.complete_ms = 10, .disorder_pct = 100});
    hear("V1", "rtl", "c1");
    pass(1);
    SAID("V1 rtl completed", "V1 rtl accepted");
    close_stage();
}

static void crew_gives_way_to_a_newer_command(void **state)
{
    (void)state;
    open_stage((struct crew_options){.complete_ms = -1});
    stage.answer = ACT_BEGUN;
    hear("V1", "goto", "c1");
    pass(0.5);
    hear("V1", "rtl", "c2");
    pass(0.5);
    SAID("V1 goto accepted", "V1 goto failed", "V1 rtl accepted");
    stage.answer = ACT_NOTED; /* a parameter ends nothing */
    hear("V1", "param.set", "c3");
    pass(0.5);
    stage.is_done = true;
    pass(0.5);
    SAID("V1 goto accepted", "V1 goto failed", "V1 rtl accepted", "V1 param.set accepted",
         "V1 param.set completed", "V1 rtl completed");
    close_stage();
}

static void crew_of_one_seed_has_one_fate(void **state)
{
    (void)state;
    char first[8192];
    for (int run = 0; run < 2; run++) {
        struct crew_options options = {.complete_ms = 5, .duplicate_pct = 30};
        options.fate_pct[FATE_SILENT] = options.fate_pct[FATE_REFUSE] = 33;
        open_stage(options);
        for (int i = 0; i < 12; i++) {
            char id[8];
            snprintf(id, sizeof id, "c%d", i);
            hear(i % 2 ? "V1" : "V2", "hold", id);
            pass(0.02);
        }
        pass(1);
        struct buf account = BUF_INIT;
        crew_write_account(stage.crew, &account);
        if (run == 0) {
            snprintf(first, sizeof first, "%s", buf_cstr(&account));
            assert_non_null(strstr(first, "silent"));
            assert_non_null(strstr(first, "obey"));
        } else {
            assert_string_equal(buf_cstr(&account), first);
        }
        buf_done(&account);
        close_stage();
    }
}

static void crew_passes_over_what_is_no_command_for_it(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"fleet.dev.veh.V9.cmd.rtl", "{\"timestamp\":\"" LATER "\",\"data\":{\"cmd_id\":\"c\"}}"},
        {"fleet.dev.veh.V1.cmd.rtl", "not JSON"},
        {"fleet.dev.veh.V1.cmd.rtl", "{\"timestamp\":\"" LATER "\",\"data\":{}}"},
        {"fleet.dev.veh.V1.cmd.rtl", "{\"timestamp\":\"" LATER "\",\"data\":{\"cmd_id\":7}}"},
        {"fleet.dev.veh.V1.evt.rtl", "{\"timestamp\":\"" LATER "\",\"data\":{\"cmd_id\":\"c\"}}"},
        {"fleet.dev.veh.V1.cmd.rtl",
         "{\"vid\":\"V2\",\"timestamp\":\"" LATER "\",\"data\":{\"cmd_id\":\"c\"}}"},
    };
    open_stage((struct crew_options){.complete_ms = 0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        crew_hear(stage.crew, cases[i][0], cases[i][1], strlen(cases[i][1]), 0, NOW_REAL_NS);
    pass(1);
    assert_said((const char *const[]){NULL});
    assert_int_equal(crew_counts(stage.crew)->strange, sizeof cases / sizeof *cases);
    assert_account("");
    close_stage();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crew_accepts_acts_and_completes),
        cmocka_unit_test(crew_repeats_its_last_word_and_acts_once),
        cmocka_unit_test(crew_refuses_what_is_too_late_and_what_it_does_not_know),
        cmocka_unit_test(crew_of_each_fate_says_and_does_what_its_name_says),
        cmocka_unit_test(crew_that_restarts_forgets_only_where_it_is_told_to),
        cmocka_unit_test(crew_cut_off_hears_nothing_and_speaks_when_it_is_back),
        cmocka_unit_test(crew_words_wait_for_a_way),
        cmocka_unit_test(crew_says_words_twice_and_out_of_order_if_it_is_told_to),
        cmocka_unit_test(crew_gives_way_to_a_newer_command),
        cmocka_unit_test(crew_of_one_seed_has_one_fate),
        cmocka_unit_test(crew_passes_over_what_is_no_command_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
