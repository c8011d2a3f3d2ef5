/* config.h: every row of the table, what beats what, and errors that say where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"

static char directory[64];

static int enter_directory(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "%s", "/tmp/dcconfigXXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    setenv("HOME", directory, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("DISTCOMP_CONF");
    return 0;
}

static int leave_directory(void **state) {
    (void)state;
    assert_int_equal(chdir("/"), 0);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Reads text as conf.json and expects an error that has each of the words given, up to NULL. */
static void expect_file_error(const char *text, ...) {
    write_file("c.json", text);
    struct config config;
    struct buf error = BUF_INIT;
    config_defaults(&config);
    if (config_read_file(&config, "c.json", &error)) {
        fail_msg("accepted: %s", text);
    }
    va_list words;
    va_start(words, text);
    for (const char *word; (word = va_arg(words, const char *)) != NULL;) {
        if (strstr(error.data, word) == NULL) {
            fail_msg("'%s' is not in: %s", word, error.data);
        }
    }
    va_end(words);
    assert_null(strchr(error.data, '\n'));
    buf_free(&error);
    config_free(&config);
}

static void test_every_row_is_whole(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config); /* aborts when a default does not parse */
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        const struct setting *setting = &settings[i];
        assert_ptr_equal(setting_find(setting->key, strlen(setting->key)), setting);
        assert_int_equal(config.source[i], CONFIG_DEFAULT);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(settings[j].key, setting->key);
            assert_int_not_equal(settings[j].offset, setting->offset);
        }
        assert_true(strlen(setting->help) > 5);
        /* What config_show writes is read back as the same value. */
        struct buf shown = BUF_INIT, again = BUF_INIT, error = BUF_INIT;
        config_show(&config, setting, &shown);
        assert_true(config_set(&config, setting, shown.data, CONFIG_FLAG, "test", &error));
        config_show(&config, setting, &again);
        assert_string_equal(shown.data, again.data);
        buf_free(&shown);
        buf_free(&again);
        buf_free(&error);
    }
    config_free(&config);
}

static void test_defaults(void **state) {
    (void)state;
    struct config config;
    config_defaults(&config);
    assert_string_equal(config.queue, "default");
    assert_int_equal(config.lease_ms, 30000);
    assert_int_equal(config.health_report_interval_ms, 5000);
    assert_int_equal(config.max_retry_per_task, 4);
    assert_int_equal(config.output_limit_bytes, 65536);
    assert_int_equal(config.redis_port, 6379);
    assert_false(config.exit_when_empty);
    assert_int_equal(config.orphan_policy, ORPHAN_STOP);
    assert_true(config.min_dram_accept_bytes == CONFIG_AUTO);
    config_free(&config);
}

static void test_file_values(void **state) {
    (void)state;
    write_file("c.json",
               "{\"min_dram_gb_accept_new_task\": 0.25, \"sleep_sec_between_accepting_task\": 2,\n"
               " \"redis_host\": \"node0\", \"redis_port\": 7000, \"redis_pass\": \"x\\\"y\",\n"
               " \"exit_when_empty\": true, \"output_limit\": \"1MiB\", \"cpus\": 1.5, \"lease\": "
               "\"1m\",\n"
               " \"orphan_policy\": \"keep\", \"max_tasks\": 3, \"memory\": 2}");
    struct config config;
    struct buf error = BUF_INIT;
    config_defaults(&config);
    if (!config_read_file(&config, "c.json", &error)) {
        fail_msg("%s", error.data);
    }
    assert_int_equal(config.min_dram_accept_bytes, 256 << 20);
    assert_int_equal(config.poll_interval_ms, 2000);
    assert_string_equal(config.redis_host, "node0");
    assert_int_equal(config.redis_port, 7000);
    assert_string_equal(config.redis_pass, "x\"y");
    assert_true(config.exit_when_empty);
    assert_int_equal(config.output_limit_bytes, 1 << 20);
    assert_int_equal(config.cpus_mcpu, 1500);
    assert_int_equal(config.lease_ms, 60000);
    assert_int_equal(config.orphan_policy, ORPHAN_KEEP);
    assert_int_equal(config.max_tasks, 3);
    assert_true(config.memory_bytes == UINT64_C(2) << 30);
    assert_string_equal(config.file, "c.json");
    config_free(&config);
}

static void test_file_errors(void **state) {
    (void)state;
    char *none = NULL;
    expect_file_error("{\n  \"queue\": \"a\",\n  \"lese\": 3}", "c.json:3:3", "lese",
                      "did you mean 'lease'", none);
    expect_file_error("{\"zzzzzz\": 3}", "c.json:1:2", "unknown key 'zzzzzz'", none);
    expect_file_error("{\"redis_port\": 70000}", "c.json:1:2", "redis_port", "'70000'",
                      "from 1 to 65535", none);
    expect_file_error("{\"redis_port\": \"x\"}", "redis_port", "'x'", none);
    expect_file_error("{\"lease\": \"3 weeks\"}", "lease", "'3 weeks'", "duration", none);
    expect_file_error("{\"lease\": -1}", "lease", "'-1'", none);
    expect_file_error("{\"lease\": [1]}", "lease", "[1]", "duration", none);
    expect_file_error("{\"lease\": null}", "lease", "null", none);
    expect_file_error("{\"exit_when_empty\": \"maybe\"}", "exit_when_empty", "true or false", none);
    expect_file_error("{\"log_level\": \"loud\"}", "debug, info, warn or error", none);
    expect_file_error("{\"queue\": \"a b\"}", "queue", "'a b'", none);
    expect_file_error("{\"queue\": \"..\"}", "queue", "'..'", none);
    expect_file_error("{\"queue\": \"\"}", "queue", none);
    expect_file_error("{\"output_max\": \"1KiB\"}", "output_max", "at least 64KiB", none);
    expect_file_error("{\n\"lease\": 30,\n}", "c.json:3:", "not valid JSON", none);
    expect_file_error("{\"lease\": 30, \"lease\": 40}", "not valid JSON", "duplicate", none);
    expect_file_error("[1]", "c.json:1:1", "object", none);
    expect_file_error("", "not valid JSON", none);
}

static void test_secret_is_never_in_an_error(void **state) {
    (void)state;
    struct config config;
    struct buf error = BUF_INIT;
    config_defaults(&config);
    const struct setting *pass = setting_find("redis_pass", 10);
    assert_false(config_set(&config, pass, "hush\nhush", CONFIG_FLAG, "--redis_pass", &error));
    assert_null(strstr(error.data, "hush"));
    assert_true(config_set(&config, pass, "hush", CONFIG_FLAG, "--redis_pass", &error));
    buf_clear(&error);
    config_show(&config, pass, &error);
    assert_null(strstr(error.data, "hush"));
    buf_free(&error);
    config_free(&config);
}

static void test_flag_beats_environment_beats_file_beats_default(void **state) {
    (void)state;
    write_file("conf.json", "{\"queue\": \"file\", \"name\": \"file\", \"labels\": \"file\"}");
    setenv("DISTCOMP_QUEUE", "env", 1);
    setenv("DISTCOMP_NAME", "env", 1);
    setenv("DISTCOMP_PYTHON", "", 1); /* as good as not there */
    char *argv[] = {(char *)(uintptr_t) "--queue", (char *)(uintptr_t) "flag"};
    struct config_flags flags = CONFIG_FLAGS_INIT;
    struct config config;
    struct buf error = BUF_INIT;
    assert_int_equal(config_take_flag(&flags, 2, argv, 0, CONFIG_WORKER, &error), 2);
    if (!config_load(&config, &flags, &error)) {
        fail_msg("%s", error.data);
    }
    assert_string_equal(config.queue, "flag");
    assert_string_equal(config.name, "env");
    assert_string_equal(config.labels, "file");
    assert_string_equal(config.python, "python3");
    assert_int_equal(config_source_of(&config, "queue"), CONFIG_FLAG);
    assert_int_equal(config_source_of(&config, "name"), CONFIG_ENV);
    assert_int_equal(config_source_of(&config, "labels"), CONFIG_FILE);
    config_free(&config);
    unsetenv("DISTCOMP_NAME");

    /* The file changes; what the flag says stays. */
    write_file("conf.json", "{\"queue\": \"file2\", \"labels\": \"b\", \"kill_grace\": 1}");
    struct config fresh;
    assert_true(config_load(&config, &flags, &error));
    write_file("conf.json", "{\"queue\": \"file3\", \"labels\": \"c\", \"kill_grace\": 1}");
    assert_true(config_load(&fresh, &flags, &error));
    assert_int_equal(config_diff(&config, &fresh, &error), 1);
    assert_string_equal(error.data, "labels");
    config_free(&config);
    config_free(&fresh);
    config_flags_free(&flags);
    buf_free(&error);

    setenv("DISTCOMP_QUEUE", "a b", 1);
    assert_false(config_load(&config, NULL, &error));
    assert_non_null(strstr(error.data, "DISTCOMP_QUEUE"));
    unsetenv("DISTCOMP_QUEUE");
    buf_free(&error);
    config_free(&config);
}

static int take(int argc, const char *const *words, enum config_scope scope, struct buf *text) {
    struct config_flags flags = CONFIG_FLAGS_INIT;
    char *argv[4];
    for (int i = 0; i < argc; i++) {
        argv[i] = (char *)(uintptr_t)words[i];
    }
    int taken = config_take_flag(&flags, argc, argv, 0, scope, text);
    if (taken > 0 && flags.conf != NULL) {
        buf_adds(text, flags.conf);
    } else if (taken > 0) {
        buf_addf(text, "%s=%s", flags.list[0].setting->key, flags.list[0].value);
    }
    config_flags_free(&flags);
    return taken;
}

static void test_flags(void **state) {
    (void)state;
    static const struct {
        const char *words[3];
        int argc, taken;
        const char *text;
    } cases[] = {
        {{"--lease", "1m"}, 2, 2, "lease=1m"},
        {{"--lease=1m", "x"}, 2, 1, "lease=1m"},
        {{"--max-tasks", "3"}, 2, 2, "max_task_per_worker=3"},
        {{"--exit_when_empty"}, 1, 1, "exit_when_empty=true"},
        {{"--exit_when_empty", "--lease"}, 2, 1, "exit_when_empty=true"},
        {{"--exit_when_empty", "no"}, 2, 2, "exit_when_empty=no"},
        {{"--conf", "f"}, 2, 2, "f"},
        {{"--conf=f"}, 1, 1, "f"},
        {{"--lease"}, 1, -1, "--lease: a value is missing: expected a duration"},
        {{"--lease", "soon"}, 2, -1, "--lease: 'soon': expected a duration"},
        {{"--nonsense", "1"}, 2, 0, ""},
        {{"lease", "1"}, 2, 0, ""},
        {{"--"}, 1, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = BUF_INIT;
        assert_int_equal(take(cases[i].argc, cases[i].words, CONFIG_WORKER, &text), cases[i].taken);
        assert_true(strncmp(text.data, cases[i].text, strlen(cases[i].text)) == 0);
        buf_free(&text);
    }
    struct buf text = BUF_INIT;
    assert_int_equal(take(2, (const char *const[]){"--cpus", "1"}, CONFIG_MANAGER, &text), 0);
    assert_int_equal(take(2, (const char *const[]){"--queue", "q"}, CONFIG_MANAGER, &text), 2);
    buf_free(&text);
}

static bool finish(const char *keys_and_values[][2], size_t count, struct config *config,
                   struct buf *error) {
    config_defaults(config);
    for (size_t i = 0; i < count; i++) {
        const char *key = keys_and_values[i][0];
        assert_true(config_set(config, setting_find(key, strlen(key)), keys_and_values[i][1],
                               CONFIG_FLAG, "test", error));
    }
    return config_finish(config, error);
}

static void test_settings_that_belong_together(void **state) {
    (void)state;
    struct config config;
    struct buf error = BUF_INIT;
    const char *short_lease[][2] = {{"lease", "10"}, {"health_report_interval", "5"}};
    assert_false(finish(short_lease, 2, &config, &error));
    assert_string_equal(error.data,
                        "lease: '10s': expected at least 3 x health_report_interval, which is 15s");
    config_free(&config);

    /* An original conf.json that reports once a minute still works. */
    const char *slow_reports[][2] = {{"health_report_interval", "60"}};
    assert_true(finish(slow_reports, 1, &config, &error));
    assert_int_equal(config.lease_ms, 180000);
    config_free(&config);

    buf_clear(&error);
    const char *bad_labels[][2] = {{"labels", "a,,b"}};
    assert_false(finish(bad_labels, 1, &config, &error));
    assert_non_null(strstr(error.data, "labels"));
    config_free(&config);
    buf_free(&error);
}

static void test_directories(void **state) {
    (void)state;
    struct config config;
    struct buf error = BUF_INIT;
    unsetenv("DISTCOMP_RUN_DIR");
    const char *named[][2] = {{"name", "n1"}, {"queue", "q"}};
    assert_true(finish(named, 2, &config, &error));
    char expected[128];
    snprintf(expected, sizeof expected, "/var/tmp/distcomp-%u/q/n1", (unsigned)geteuid());
    assert_string_equal(config.state_dir, expected);
    snprintf(expected, sizeof expected, "/var/tmp/distcomp-%u/q/n1/results", (unsigned)geteuid());
    assert_string_equal(config.result_dir, expected);
    config_free(&config);

    /* Sockets are made in it: a long name is replaced by its hash. */
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    const char *long_name[][2] = {{"name", name}, {"queue", name}};
    assert_true(finish(long_name, 2, &config, &error));
    assert_true(strlen(config.state_dir) < 88);
    config_free(&config);

    char path[121];
    memset(path, 'p', 120);
    path[0] = '/';
    path[120] = '\0';
    const char *long_dir[][2] = {{"state_dir", path}};
    assert_false(finish(long_dir, 1, &config, &error));
    assert_non_null(strstr(error.data, "state_dir"));
    config_free(&config);
    buf_free(&error);

    assert_true(finish(NULL, 0, &config, &error));
    assert_true(strlen(config.name) > 0);
    config_free(&config);
}

static void test_where_conf_json_is_looked_for(void **state) {
    (void)state;
    struct config config;
    struct buf error = BUF_INIT;
    assert_int_equal(mkdir(".config", 0700), 0);
    assert_int_equal(mkdir(".config/distcomp", 0700), 0);
    write_file(".config/distcomp/conf.json", "{\"queue\": \"home\"}");
    assert_true(config_load(&config, NULL, &error));
    assert_string_equal(config.queue, "home");
    config_free(&config);

    write_file("conf.json", "{\"queue\": \"here\"}");
    assert_true(config_load(&config, NULL, &error));
    assert_string_equal(config.queue, "here");
    config_free(&config);

    write_file("other.json", "{\"queue\": \"env\"}");
    setenv("DISTCOMP_CONF", "other.json", 1);
    assert_true(config_load(&config, NULL, &error));
    assert_string_equal(config.queue, "env");
    config_free(&config);
    unsetenv("DISTCOMP_CONF");

    struct config_flags flags = {.conf = "nowhere.json"};
    assert_false(config_load(&config, &flags, &error));
    assert_non_null(strstr(error.data, "nowhere.json"));
    config_free(&config);
    buf_free(&error);
}

static void test_reserves(void **state) {
    (void)state;
    uint64_t gib = UINT64_C(1) << 30;
    struct config config;
    config_defaults(&config);
    assert_true(config_accept_bytes(&config, gib) == gib / 4);
    assert_true(config_accept_bytes(&config, 20 * gib) == gib);
    assert_true(config_accept_bytes(&config, 1000 * gib) == 4 * gib);
    assert_true(config_return_bytes(&config, 20 * gib) == gib / 2);
    config.min_dram_accept_bytes = gib;
    config.min_dram_return_bytes = 2 * gib;
    assert_true(config_accept_bytes(&config, 1000 * gib) == gib);
    assert_true(config_return_bytes(&config, 1000 * gib) == gib);
    config_free(&config);
}

static void test_the_example_is_valid(void **state) {
    const char *path = *state;
    struct config config;
    struct buf error = BUF_INIT;
    config_defaults(&config);
    if (!config_read_file(&config, path, &error)) {
        fail_msg("%s", error.data);
    }
    buf_free(&error);
    config_free(&config);
}

int main(void) {
    char directory_name[4096];
    char example[4096 + 32];
    if (getcwd(directory_name, sizeof directory_name) == NULL) {
        return 1;
    }
    snprintf(example, sizeof example, "%s/conf.json.example", directory_name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_whole),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test_setup_teardown(test_file_values, enter_directory, leave_directory),
        cmocka_unit_test_setup_teardown(test_file_errors, enter_directory, leave_directory),
        cmocka_unit_test(test_secret_is_never_in_an_error),
        cmocka_unit_test_setup_teardown(test_flag_beats_environment_beats_file_beats_default,
                                        enter_directory, leave_directory),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_settings_that_belong_together),
        cmocka_unit_test(test_directories),
        cmocka_unit_test_setup_teardown(test_where_conf_json_is_looked_for, enter_directory,
                                        leave_directory),
        cmocka_unit_test(test_reserves),
        cmocka_unit_test_prestate(test_the_example_is_valid, example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
