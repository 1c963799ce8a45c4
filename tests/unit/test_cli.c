/* The command line: what it prints where, and its exit codes. The hub itself is replaced by one
 * that only waits to be told to stop. */
#include "hub/cli.h"
#include "hub/hub.h"
#include "tests/unit/config_help.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16, STOP_WITHIN_MS = 5000 };

static struct {
    int runs, result;
    bool migrate, stopped;
    char env[CONFIG_NAME_MAX_BYTES];
} hub;

int hub_run(const struct hub_run_options *options)
{
    struct pollfd stop = {.fd = options->stop_fd, .events = POLLIN};
    struct signalfd_siginfo signal_info;
    hub.runs++;
    hub.migrate = options->migrate;
    snprintf(hub.env, sizeof hub.env, "%s", options->config->env);
    assert_int_equal(poll(&stop, 1, 0), 0); /* nobody has asked to stop yet */
    kill(getpid(), SIGTERM);
    hub.stopped = poll(&stop, 1, STOP_WITHIN_MS) == 1;
    assert_int_equal(poll(&stop, 1, 0), 1); /* and it stays so for whoever looks next */
    assert_int_equal(read(stop.fd, &signal_info, sizeof signal_info), sizeof signal_info);
    assert_int_equal(signal_info.ssi_signo, SIGTERM);
    return hub.result;
}

struct outcome {
    int exit_code;
    char out[65536], err[65536];
};

static void read_back(int fd, char text[65536])
{
    ssize_t size = pread(fd, text, 65535, 0);
    assert_true(size >= 0);
    text[size] = '\0';
    close(fd);
}

static int divert(int fd, FILE *stream, int *saved)
{
    char path[] = "/tmp/test_cli_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    fflush(stream);
    *saved = dup(fd);
    dup2(file, fd);
    return file;
}

static void restore(int fd, FILE *stream, int saved)
{
    fflush(stream);
    dup2(saved, fd);
    close(saved);
}

/* Runs a command line, words between blanks, with its output in files. */
static struct outcome *run(const char *line)
{
    static struct outcome outcome;
    char words[1024], *argv[ARGUMENTS_MAX] = {NULL}, *rest = words;
    int argc = 0, saved_out, saved_err;
    snprintf(words, sizeof words, "fleethub%s%s", *line ? " " : "", line);
    for (char *word; argc < ARGUMENTS_MAX - 1 && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    int out = divert(STDOUT_FILENO, stdout, &saved_out);
    int err = divert(STDERR_FILENO, stderr, &saved_err);
    outcome.exit_code = cli_main(argc, argv);
    restore(STDOUT_FILENO, stdout, saved_out);
    restore(STDERR_FILENO, stderr, saved_err);
    read_back(out, outcome.out);
    read_back(err, outcome.err);
    return &outcome;
}

static int four_keys_in_environment(void **state)
{
    clear_environment(state);
    setenv("FLEETHUB_ENV", "cli", 1);
    setenv("FLEETHUB_REGION", "r", 1);
    setenv("FLEETHUB_NATS_URL", "nats://127.0.0.1:1", 1);
    setenv("FLEETHUB_POSTGRES_DSN", "host=127.0.0.1 port=1 password=geheim", 1);
    memset(&hub, 0, sizeof hub);
    return 0;
}

static void cli_line_that_makes_no_sense_exits_2_and_says_what_may_be_meant(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "usage: fleethub COMMAND"},
        {"rum", "unknown command `rum`, did you mean `run`?"},
        {"rum --config x", "unknown command `rum`, did you mean `run`?"},
        {"config chek", "unknown command `config chek`, did you mean `config check`?"},
        {"confg check x", "unknown command `confg`, did you mean `config check`?"},
        {"config", "`config` is not complete"},
        {"help rum", "did you mean `run`?"},
        {"dance", "unknown command `dance`; see `fleethub help`"},
        {"run --migrat", "unknown flag `--migrat`, did you mean `--migrate`?"},
        {"run --nats.ulr=x", "unknown flag `--nats.ulr`, did you mean `--nats.url`?"},
        {"run --nats.url", "a value is missing behind `--nats.url`"},
        {"run --config --migrate", "a value is missing behind `--config`"},
        {"run --config a --config b", "a second file: `b`"},
        {"run file", "what is meant by `file`"},
        {"run -x", "unknown flag `-x`"},
        {"config check a b", "what is meant by `b`"},
        {"config check --migrate", "unknown flag `--migrate`"},
        {"send", "say which command"},
        {"vehicles --limit 0", "--limit: `0` is no number from 1 on"},
        {"events --limit x", "--limit: `x` is no number from 1 on"},
        {"watch --filtre x", "unknown flag `--filtre`, did you mean `--filter`?"},
        {"send rtl", "say which vehicles"},
        {"send rtl land --all", "what is meant by `land`"},
        {"send rtl --al", "unknown flag `--al`, did you mean `--all`?"},
        {"send rtl --all=yes", "takes no value: `--all=yes`"},
        {"send rtl --all --all", "stands here twice: `--all`"},
        {"send rtl --vids", "a value is missing behind `--vids`"},
        {"audit", "`audit` is not complete"},
        {"audit hold", "say `add`, `list` or `remove`"},
        {"audit hold ad --vid V", "say `add`, `list` or `remove`"},
        {"audit hold add --vid V", "say why with `--reason`"},
        {"audit hold add --vid V --reason=", "say why with `--reason`"},
        {"audit hold add --reason x", "say what to keep"},
        {"audit hold add --vid a.b --reason x", "`--vid` is no vehicle id"},
        {"audit hold add --from yesterday --reason x", "no RFC 3339 timestamp"},
        {"audit hold add --from 2026-01-02T00:00:00Z --until 2026-01-01T00:00:00Z --reason x",
         "`--from` has to lie before `--until`"},
        {"audit hold remove --reason x", "say which with `--id`"},
        {"audit hold add --vdi V", "did you mean `--vid`?"},
        {"version --env=x", "unknown flag `--env`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome *outcome = run(cases[i][0]);
        if (outcome->exit_code != CLI_USAGE || !strstr(outcome->err, cases[i][1]))
            fail_msg("`%s`: %d %s", cases[i][0], outcome->exit_code, outcome->err);
        assert_string_equal(outcome->out, "");
    }
    assert_int_equal(hub.runs, 0);
}

static void cli_help_lists_every_command_and_every_key(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "run",           "migrate",    "config check",    "config show", "config example",
        "config schema", "audit hold", "audit retention", "send",        "version",
        "help"};
    struct outcome *outcome = run("help");
    assert_int_equal(outcome->exit_code, CLI_OK);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        assert_non_null(strstr(outcome->out, commands[i]));
    outcome = run("run --help");
    assert_int_equal(outcome->exit_code, CLI_OK);
    for (size_t i = 0; i < config_key_count; i++) {
        char flag[CONFIG_NAME_MAX_BYTES + 8];
        snprintf(flag, sizeof flag, "\n  --%s=", config_keys[i].name);
        assert_non_null(strstr(outcome->out, flag));
    }
    assert_int_equal(run("help config show")->exit_code, CLI_OK);
    assert_int_equal(run("help config")->exit_code, CLI_OK);
    assert_memory_equal(run("version")->out, "fleethub ", 9);
}

static void cli_config_check_says_ok_or_what_is_wrong_and_exits_1(void **state)
{
    (void)state;
    char path[] = "/tmp/test_cli_XXXXXX", line[256], expected[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(line, sizeof line, "config check %s", path);
    struct outcome *outcome = run(line);
    snprintf(expected, sizeof expected, "%s: ok\n", path);
    assert_int_equal(outcome->exit_code, CLI_OK);
    assert_string_equal(outcome->out, expected);
    assert_int_equal(dprintf(fd, "log:\n  level: loud\n"), 19);
    outcome = run(line);
    snprintf(expected, sizeof expected,
             "%s:2:10: log.level: `loud` is not one of debug|info|warn|error\n", path);
    assert_int_equal(outcome->exit_code, CLI_FAILED);
    assert_string_equal(outcome->out, expected);
    close(fd);
    unlink(path);
}

static void cli_config_check_reads_the_geofence(void **state)
{
    (void)state;
    char path[] = "/tmp/test_cli_XXXXXX", line[256], expected[512];
    int fd = mkstemp(path), runs = hub.runs;
    assert_true(fd >= 0);
    snprintf(line, sizeof line, "config check --commands.policy.geofence %s", path);
    assert_true(dprintf(fd, "{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[1,0],[1,1],[0,1]]]}") >
                0);
    struct outcome *outcome = run(line);
    snprintf(expected, sizeof expected,
             "flag --commands.policy.geofence: commands.policy.geofence: %s: coordinates[0]: a "
             "ring of the polygon is not closed: its last point is not its first\n",
             path);
    assert_int_equal(outcome->exit_code, CLI_FAILED);
    assert_string_equal(outcome->out, expected);
    snprintf(line, sizeof line, "run --auth.mode off --commands.policy.geofence %s", path);
    outcome = run(line);
    assert_int_equal(outcome->exit_code, CLI_FAILED);
    assert_string_equal(outcome->err, expected);
    assert_int_equal(hub.runs, runs);
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    assert_true(dprintf(fd, "{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[1,0],[1,1],[0,0]]]}") >
                0);
    snprintf(line, sizeof line, "config check --commands.policy.geofence %s", path);
    assert_int_equal(run(line)->exit_code, CLI_OK);
    close(fd);
    unlink(path);
    outcome = run(line);
    snprintf(expected, sizeof expected,
             "flag --commands.policy.geofence: commands.policy.geofence: %s: No such file or "
             "directory\n",
             path);
    assert_string_equal(outcome->out, expected);
    snprintf(line, sizeof line, "config check --commands.policy.geofence /");
    assert_non_null(strstr(run(line)->out, "/: is no regular file\n"));
}

static void cli_config_show_and_example_print_on_standard_output(void **state)
{
    (void)state;
    struct outcome *outcome = run("config show --log.level debug --http.listen=127.0.0.1:0");
    assert_int_equal(outcome->exit_code, CLI_OK);
    assert_non_null(strstr(outcome->out, "level: debug  # flag --log.level\n"));
    assert_non_null(strstr(outcome->out, "listen: 127.0.0.1:0  # flag --http.listen\n"));
    assert_null(strstr(outcome->out, "geheim"));
    assert_non_null(strstr(run("config example")->out, "\npostgres:\n"));
    assert_non_null(strstr(run("config schema")->out, "json-schema.org"));
    unsetenv("FLEETHUB_ENV");
    outcome = run("config show");
    assert_int_equal(outcome->exit_code, CLI_FAILED);
    assert_string_equal(outcome->out, "");
    assert_non_null(strstr(outcome->err, "env: is missing"));
}

static void cli_run_stops_the_hub_on_sigterm(void **state)
{
    (void)state;
    struct outcome *outcome = run("run --migrate --auth.mode off");
    assert_string_equal(outcome->err, "");
    assert_int_equal(outcome->exit_code, CLI_OK);
    assert_int_equal(hub.runs, 1);
    assert_true(hub.migrate && hub.stopped);
    assert_string_equal(hub.env, "cli");
    hub.result = -1;
    assert_int_equal(run("run --auth.mode=off")->exit_code, CLI_FAILED);
    assert_false(hub.migrate);
}

static void cli_migrate_without_a_database_fails_and_says_so(void **state)
{
    (void)state;
    clear_environment(NULL);
    setenv("FLEETHUB_POSTGRES_DSN", "host=127.0.0.1 port=1 password=geheim connect_timeout=2", 1);
    struct outcome *outcome = run("migrate");
    assert_int_equal(outcome->exit_code, CLI_FAILED);
    assert_true(outcome->err[0] != '\0');
    assert_null(strstr(outcome->err, "geheim"));
}

int main(void)
{
#define CLI_TEST(name) cmocka_unit_test_setup(name, four_keys_in_environment)
    const struct CMUnitTest tests[] = {
        CLI_TEST(cli_line_that_makes_no_sense_exits_2_and_says_what_may_be_meant),
        CLI_TEST(cli_help_lists_every_command_and_every_key),
        CLI_TEST(cli_config_check_says_ok_or_what_is_wrong_and_exits_1),
        CLI_TEST(cli_config_check_reads_the_geofence),
        CLI_TEST(cli_config_show_and_example_print_on_standard_output),
        CLI_TEST(cli_run_stops_the_hub_on_sigterm),
        CLI_TEST(cli_migrate_without_a_database_fails_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
