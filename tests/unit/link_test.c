/* endpoint.h and linkfault.h: addresses, and what an error means. What needs a server is in
 * link_test.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/endpoint.h"
#include "common/linkfault.h"
#include "common/script.h"
#include "common/sentinel.h"

/* What endpoint_add_url writes is read as the same endpoint. */
static void check_again(const struct endpoint *endpoint) {
    struct endpoint again;
    struct buf url = BUF_INIT, error = BUF_INIT;
    assert_true(endpoint_add_url(endpoint, &url));
    if (!endpoint_parse(&again, url.data, &error)) {
        fail_msg("%s: %s", url.data, error.data);
    }
    assert_string_equal(again.path, endpoint->path);
    assert_string_equal(again.host, endpoint->host);
    assert_int_equal(again.port, endpoint->port);
    assert_string_equal(again.user, endpoint->user);
    assert_string_equal(again.pass, endpoint->pass);
    assert_int_equal(again.db, endpoint->db);
    endpoint_free(&again);
    buf_free(&url);
    buf_free(&error);
}

static void test_urls(void **state) {
    (void)state;
    static const struct {
        const char *url, *path, *host;
        int port;
        const char *user, *pass;
        int db;
        const char *shown;
    } rows[] = {
        {"redis://h", "", "h", 6379, "", "", 0, "redis://h:6379"},
        {"redis://h/", "", "h", 6379, "", "", 0, "redis://h:6379"},
        {"redis://h:1/3", "", "h", 1, "", "", 3, "redis://h:1/3"},
        {"redis://:pw@h", "", "h", 6379, "", "pw", 0, "redis://h:6379"},
        {"redis://pw@h", "", "h", 6379, "", "pw", 0, "redis://h:6379"},
        {"redis://u:p%40:%25w@h:65535", "", "h", 65535, "u", "p@:%w", 0, "redis://h:65535"},
        {"redis://u:p@w@h", "", "h", 6379, "u", "p@w", 0, "redis://h:6379"},
        {"redis://[::1]:7/2", "", "::1", 7, "", "", 2, "redis://[::1]:7/2"},
        {"redis://[fe80::1]", "", "fe80::1", 6379, "", "", 0, "redis://[fe80::1]:6379"},
        {"unix:///run/r.sock", "/run/r.sock", "", 0, "", "", 0, "unix:///run/r.sock"},
        {"unix:///r@x?db=5", "/r@x", "", 0, "", "", 5, "unix:///r@x?db=5"},
        {"unix://u:p@/r%20s", "/r s", "", 0, "u", "p", 0, "unix:///r s"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct endpoint endpoint;
        struct buf text = BUF_INIT;
        if (!endpoint_parse(&endpoint, rows[i].url, &text)) {
            fail_msg("%s", text.data);
        }
        assert_string_equal(endpoint.path, rows[i].path);
        assert_string_equal(endpoint.host, rows[i].host);
        assert_int_equal(endpoint.port, rows[i].port);
        assert_string_equal(endpoint.user, rows[i].user);
        assert_string_equal(endpoint.pass, rows[i].pass);
        assert_int_equal(endpoint.db, rows[i].db);
        endpoint_show(&endpoint, &text);
        assert_string_equal(text.data, rows[i].shown);
        check_again(&endpoint);
        endpoint_free(&endpoint);
        buf_free(&text);
    }
}

static void test_bad_urls(void **state) {
    (void)state;
    static const struct {
        const char *url, *says;
    } rows[] = {
        {"h:6379", "begins with none"},
        {"", "begins with none"},
        {"http://h", "begins with none"},
        {"rediss://hush@h", "no TLS"},
        {"redis://", "no host"},
        {"redis://:hush@", "no host"},
        {"redis://h:0", "port"},
        {"redis://h:65536", "port"},
        {"redis://h:x", "port"},
        {"redis://h:", "port"},
        {"redis://u:hush@h:hash", "port"},
        {"redis://h/x", "database"},
        {"redis://h/1/2", "database"},
        {"redis://[::1", "']'"},
        {"redis://[::1]x", "']'"},
        {"redis://hush%zz@h", "'%'"},
        {"redis://hush%0@h", "'%'"},
        {"redis://hush%00@h", "'%'"},
        {"unix://r.sock", "absolute path"},
        {"unix://", "absolute path"},
        {"unix:///", "absolute path"},
        {"sentinel://", "name of the master"},
        {"sentinel://h", "name of the master"},
        {"sentinel://h/", "name of the master"},
        {"sentinel:///m", "no host"},
        {"sentinel://h,/m", "no host"},
        {"sentinel://h,,i/m", "no host"},
        {"sentinel://:hush@/m", "no host"},
        {"sentinel://h:0,i/m", "port"},
        {"sentinel://h,i:hash/m", "port"},
        {"sentinel://h/m/x", "database"},
        {"sentinel://h/m/1/2", "database"},
        {"sentinel://h/m x", "not made of"},
        {"sentinel://h/m?db=1", "not made of"},
        {"sentinel://h//1", "not made of"},
        {"sentinel://[::1,h/m", "']'"},
        {"sentinel://hush%zz@h/m", "'%'"},
        {"sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/m", "more than 16"},
        {"unix:///r?d=1", "db=N"},
        {"unix:///r?db=", "db=N"},
        {"hush:hush@h", "begins with none"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct endpoint endpoint;
        struct buf error = BUF_INIT;
        if (endpoint_parse(&endpoint, rows[i].url, &error)) {
            fail_msg("accepted: %s", rows[i].url);
        }
        if (strstr(error.data, rows[i].says) == NULL || strstr(error.data, "hush") != NULL) {
            fail_msg("%s: %s", rows[i].url, error.data);
        }
        endpoint_free(&endpoint);
        buf_free(&error);
    }
    char url[200] = "unix:///";
    memset(url + 8, 'x', 150);
    struct endpoint endpoint;
    struct buf error = BUF_INIT;
    assert_false(endpoint_parse(&endpoint, url, &error));
    assert_non_null(strstr(error.data, "107"));
    endpoint_free(&endpoint);
    buf_free(&error);
}

static void test_sentinel_urls(void **state) {
    (void)state;
    static const struct {
        const char *url, *master, *user, *pass;
        int db;
        size_t count;
        const char *shown;
    } rows[] = {
        {"sentinel://h/m", "m", "", "", 0, 1, "sentinel://h:26379/m"},
        {"sentinel://h:1,i,[::1]:3,[::2]/my-m.0_x", "my-m.0_x", "", "", 0, 4,
         "sentinel://h:1,i:26379,[::1]:3,[::2]:26379/my-m.0_x"},
        {"sentinel://:p%40w@h/m/3", "m", "", "p@w", 3, 1, "sentinel://h:26379/m/3"},
        {"sentinel://u:p@w@h,i/m", "m", "u", "p@w", 0, 2, "sentinel://h:26379,i:26379/m"},
        {"sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16/m", "m", "", "", 0, 16, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct endpoint parsed, endpoint;
        struct buf text = BUF_INIT;
        if (!endpoint_parse(&parsed, rows[i].url, &text)) {
            fail_msg("%s", text.data);
        }
        endpoint_copy(&endpoint, &parsed);
        endpoint_free(&parsed);
        assert_string_equal(endpoint.master, rows[i].master);
        assert_string_equal(endpoint.sentinel_user, rows[i].user);
        assert_string_equal(endpoint.sentinel_pass, rows[i].pass);
        assert_string_equal(endpoint.user, "");
        assert_string_equal(endpoint.pass, "");
        assert_int_equal(endpoint.db, rows[i].db);
        assert_int_equal(endpoint.sentinel_count, rows[i].count);
        endpoint_show(&endpoint, &text);
        assert_string_equal(text.data, rows[i].shown != NULL ? rows[i].shown : text.data);
        assert_true(endpoint_is_unknown(&endpoint));
        assert_false(endpoint_add_url(&endpoint, &text));
        endpoint_locate(&endpoint, "10.0.0.7", 6380);
        assert_false(endpoint_is_unknown(&endpoint));
        check_again(&endpoint);
        buf_clear(&text);
        endpoint_show(&endpoint, &text);
        assert_string_equal(text.data,
                            rows[i].db != 0 ? "redis://10.0.0.7:6380/3" : "redis://10.0.0.7:6380");
        endpoint_free(&endpoint);
        buf_free(&text);
    }
}

static void test_whose_password_is_whose(void **state) {
    (void)state;
    struct config config;
    struct buf text = BUF_INIT;
    config_defaults(&config);
    static const char *const given[][2] = {{"redis", "sentinel://h/m"},
                                           {"redis_pass", "data"},
                                           {"sentinel_pass", "watch"},
                                           {"redis_db", "2"}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        const struct setting *setting = setting_find(given[i][0], strlen(given[i][0]));
        assert_true(config_set(&config, setting, given[i][1], CONFIG_FILE, "test", &text));
    }
    struct endpoint endpoint;
    struct link_greeting question;
    assert_true(endpoint_from_config(&endpoint, &config, &text));
    assert_string_equal(endpoint.pass, "data");
    assert_string_equal(endpoint.sentinel_pass, "watch");
    assert_int_equal(endpoint.db, 2);
    sentinel_question_make(&question, &endpoint);
    assert_int_equal(question.count, 2);
    assert_string_equal(question.commands[0].argv[1], "watch");
    endpoint_free(&endpoint);
    const struct setting *redis = setting_find("redis", 5);
    assert_true(config_set(&config, redis, "sentinel://u:own@h/m", CONFIG_FLAG, "test", &text));
    assert_true(endpoint_from_config(&endpoint, &config, &text));
    assert_string_equal(endpoint.sentinel_pass, "own");
    assert_string_equal(endpoint.pass, "data");
    endpoint_free(&endpoint);
    config_free(&config);
    buf_free(&text);
}

/* One round of three Sentinels, begun with the second. */
static void test_sentinels_are_asked_in_turn(void **state) {
    (void)state;
    struct endpoint endpoint;
    struct sentinel_round round;
    struct buf text = BUF_INIT;
    assert_true(endpoint_parse(&endpoint, "sentinel://a:1,b:2,c:3/m", &text));
    sentinel_round_start(&round, &endpoint, 4);
    static const char order[] = "bca";
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sentinel_round_now(&round)->host[0], order[i]);
        assert_int_equal(endpoint.sentinels[sentinel_round_index(&round)].host[0], order[i]);
        sentinel_round_failed(&round, "asleep");
    }
    assert_null(sentinel_round_now(&round));
    assert_int_equal(sentinel_round_fault(&round), LINK_NO_SENTINEL);
    assert_string_equal(round.whys.data, "b:2: asleep, c:3: asleep, a:1: asleep");
    round.unknown = 3;
    assert_int_equal(sentinel_round_fault(&round), LINK_UNKNOWN_MASTER);
    sentinel_round_free(&round);
    endpoint_free(&endpoint);
    buf_free(&text);
}

struct given {
    const char *key, *value;
    enum config_source source;
};

static void expect_endpoint(const struct given *given, size_t count, const char *shown,
                            const char *pass, const char *origin) {
    struct config config;
    struct buf text = BUF_INIT;
    config_defaults(&config);
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = setting_find(given[i].key, strlen(given[i].key));
        assert_true(config_set(&config, setting, given[i].value, given[i].source, "test", &text));
    }
    struct endpoint endpoint;
    assert_true(endpoint_from_config(&endpoint, &config, &text));
    endpoint_show(&endpoint, &text);
    assert_string_equal(text.data, shown);
    assert_string_equal(endpoint.pass, pass);
    assert_string_equal(endpoint.origin, origin);
    endpoint_free(&endpoint);
    config_free(&config);
    buf_free(&text);
}

static void test_which_setting_counts(void **state) {
    (void)state;
    setenv("DISTCOMP_RUN_DIR", "/nonexistent", 1);
    expect_endpoint(NULL, 0, "redis://127.0.0.1:6379", "", "default");
    const struct given host[] = {{"redis_host", "n0", CONFIG_FILE},
                                 {"redis_pass", "pw", CONFIG_FILE},
                                 {"redis_port", "7", CONFIG_FILE},
                                 {"redis_db", "2", CONFIG_FILE}};
    expect_endpoint(host, 4, "redis://n0:7/2", "pw", "conf.json");
    const struct given port[] = {{"redis_port", "7", CONFIG_ENV}};
    expect_endpoint(port, 1, "redis://127.0.0.1:7", "", "default");
    const struct given url_by_flag[] = {{"redis_host", "n0", CONFIG_FILE},
                                        {"redis_pass", "pw", CONFIG_FILE},
                                        {"redis", "redis://n1", CONFIG_FLAG}};
    expect_endpoint(url_by_flag, 3, "redis://n1:6379", "pw", "--redis");
    const struct given host_by_flag[] = {{"redis", "redis://:x@n1", CONFIG_FILE},
                                         {"redis_host", "n0", CONFIG_FLAG}};
    expect_endpoint(host_by_flag, 2, "redis://n0:6379", "", "--redis_host");
    const struct given both[] = {{"redis", "unix:///s", CONFIG_ENV},
                                 {"redis_host", "n0", CONFIG_ENV}};
    expect_endpoint(both, 2, "unix:///s", "", "the environment");
}

static void test_the_embedded_one_is_found_if_nobody_else_can_write(void **state) {
    (void)state;
    char directory[] = "/tmp/dclinkXXXXXX";
    assert_non_null(mkdtemp(directory));
    setenv("DISTCOMP_RUN_DIR", directory, 1);
    char path[64], parent[48], command[64];
    snprintf(parent, sizeof parent, "%s/.redis", directory);
    snprintf(path, sizeof path, "%s/redis.env", parent);
    assert_int_equal(mkdir(parent, 0700), 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("# comment\nsocket=/x/s\nhost=127.0.0.1\nport=7\npass=a=b\nnewer=1\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    expect_endpoint(NULL, 0, "unix:///x/s", "a=b", "redis.sh");
    const struct given host[] = {{"redis_host", "n0", CONFIG_FILE}};
    expect_endpoint(host, 1, "redis://n0:6379", "", "conf.json");
    assert_int_equal(chmod(path, 0602), 0);
    expect_endpoint(NULL, 0, "redis://127.0.0.1:6379", "", "default");
    snprintf(command, sizeof command, "rm -rf %s", directory);
    assert_int_equal(system(command), 0);
}

static void test_errors_of_the_connection(void **state) {
    (void)state;
    char prefixed[128];
    snprintf(prefixed, sizeof prefixed, "connect: %s", strerror(EHOSTUNREACH));
    assert_int_equal(link_fault_io(REDIS_ERR_IO, strerror(ECONNREFUSED)), LINK_REFUSED);
    assert_int_equal(link_fault_io(REDIS_ERR_IO, strerror(ENOENT)), LINK_NO_SOCKET);
    assert_int_equal(link_fault_io(REDIS_ERR_IO, strerror(EAGAIN)), LINK_TIMEOUT);
    assert_int_equal(link_fault_io(REDIS_ERR_IO, strerror(ETIMEDOUT)), LINK_TIMEOUT);
    assert_int_equal(link_fault_io(REDIS_ERR_IO, prefixed), LINK_UNREACHABLE);
    assert_int_equal(link_fault_io(REDIS_ERR_OTHER, "Name or service not known"),
                     LINK_UNKNOWN_HOST);
    assert_int_equal(link_fault_io(REDIS_ERR_PROTOCOL, "Protocol error, got \"H\""),
                     LINK_NOT_REDIS);
    assert_int_equal(link_fault_io(REDIS_ERR_EOF, "Server closed the connection"), LINK_LOST);
}

static void test_error_replies(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum link_fault fault;
    } rows[] = {
        {"NOAUTH Authentication required.", LINK_NEEDS_PASSWORD},
        {"-WRONGPASS invalid username-password pair or user is disabled.", LINK_WRONG_PASSWORD},
        {"ERR AUTH <password> called without any password configured for the default user.",
         LINK_NO_PASSWORD_SET},
        {"OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:3.",
         LINK_FULL},
        {"ERR Error running script (call to f_a): @user_script:1: @user_script: 1: -OOM command "
         "not allowed",
         LINK_FULL},
        {"ERR Error running script (call to f_a): @user_script:1: attempt to index nil",
         LINK_REPLY},
        {"READONLY You can't write against a read only replica.", LINK_READONLY},
        {"MISCONF Redis is configured to save RDB snapshots", LINK_MISCONF},
        {"LOADING Redis is loading the dataset in memory", LINK_LOADING},
        {"BUSY Redis is busy running a script.", LINK_BUSY},
        {"BUSYGROUP Consumer Group name already exists", LINK_REPLY},
        {"MOVED 3999 127.0.0.1:6381", LINK_CLUSTER},
        {"CROSSSLOT Keys in request don't hash to the same slot", LINK_CLUSTER},
        {"UNBLOCKED force unblock from blocking operation, instance state changed", LINK_READONLY},
        {"ERR WAIT cannot be used with replica instances.", LINK_READONLY},
        {"NOSCRIPT No matching script.", LINK_NO_SCRIPT},
        {"NOPERM this user has no permissions to run the 'eval' command", LINK_NO_PERMISSION},
        {"DENIED Redis is running in protected mode", LINK_PROTECTED},
        {"WRONGTYPE Operation against a key", LINK_REPLY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (link_fault_reply(rows[i].text) != rows[i].fault) {
            fail_msg("%s: %d", rows[i].text, (int)link_fault_reply(rows[i].text));
        }
    }
}

static void test_every_explanation_is_one_line_that_says_where(void **state) {
    (void)state;
    struct endpoint endpoint;
    struct buf text = BUF_INIT;
    assert_true(endpoint_parse(&endpoint, "redis://u:hush@h:1/2", &text));
    for (int fault = LINK_REFUSED; fault <= LINK_REPLY; fault++) {
        buf_clear(&text);
        link_explain(&endpoint, (enum link_fault)fault, "two\nlines", &text);
        assert_non_null(strstr(text.data, "redis://h:1/2"));
        assert_non_null(strstr(text.data, "; "));
        assert_null(strchr(text.data, '\n'));
        assert_null(strstr(text.data, "hush"));
    }
    endpoint_free(&endpoint);
    buf_free(&text);
}

static void test_greeting(void **state) {
    (void)state;
    static const struct {
        const char *url, *commands;
    } rows[] = {
        {"redis://h", "HELLO 2 PING "},
        {"redis://p@h", "AUTH p HELLO 2 PING "},
        {"redis://u:p@h/3", "AUTH u p HELLO 2 SELECT 3 PING "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct endpoint endpoint;
        struct buf text = BUF_INIT;
        struct link_greeting greeting;
        assert_true(endpoint_parse(&endpoint, rows[i].url, &text));
        link_greeting_make(&greeting, &endpoint);
        for (size_t j = 0; j < greeting.count; j++) {
            for (int k = 0; k < greeting.commands[j].argc; k++) {
                buf_addf(&text, "%s ", greeting.commands[j].argv[k]);
            }
        }
        assert_string_equal(text.data, rows[i].commands);
        endpoint_free(&endpoint);
        buf_free(&text);
    }
}

static void test_scripts_are_what_their_sha1_says(void **state) {
    (void)state;
    assert_null(script_find("no such script"));
    assert_null(scripts[scripts_count].name);
    for (size_t i = 0; i < scripts_count; i++) {
        assert_ptr_equal(script_find(scripts[i].name), &scripts[i]);
        char command[] = "/tmp/dcscriptXXXXXX";
        int fd = mkstemp(command);
        assert_true(fd >= 0);
        size_t len = strlen(scripts[i].text);
        assert_int_equal(write(fd, scripts[i].text, len), (ssize_t)len);
        close(fd);
        char line[64];
        snprintf(line, sizeof line, "sha1sum %s", command);
        FILE *pipe = popen(line, "r");
        assert_non_null(pipe);
        char sum[41] = "";
        assert_int_equal(fread(sum, 1, 40, pipe), 40);
        pclose(pipe);
        unlink(command);
        assert_string_equal(sum, scripts[i].sha1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_sentinel_urls),
        cmocka_unit_test(test_whose_password_is_whose),
        cmocka_unit_test(test_sentinels_are_asked_in_turn),
        cmocka_unit_test(test_which_setting_counts),
        cmocka_unit_test(test_the_embedded_one_is_found_if_nobody_else_can_write),
        cmocka_unit_test(test_errors_of_the_connection),
        cmocka_unit_test(test_error_replies),
        cmocka_unit_test(test_every_explanation_is_one_line_that_says_where),
        cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_scripts_are_what_their_sha1_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
