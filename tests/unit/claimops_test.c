/* claimops.h: what is sent, argument by argument, and what is made of answers, well-formed or not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/claimops.h"
#include "common/family.h"

#define QUEUE "distcomp:{q}"
#define ID1   "0123456789abcd"
#define ID2   "zyxwvtsrqpnmkj"

/* --- answers, written down ------------------------------------------------------------------- */

/*
 * Reads an answer at *at: [ elements ], 'string', +status, !error, nil, or an integer; words end at
 * a blank or bracket.
 */
static redisReply *parse(const char **at) {
    redisReply *r = calloc(1, sizeof *r);
    assert_non_null(r);
    *at += strspn(*at, " ");
    if (**at == '[') {
        r->type = REDIS_REPLY_ARRAY;
        r->element = calloc(64, sizeof(redisReply *));
        ++*at;
        while (*at += strspn(*at, " "), **at != ']') {
            assert_true(**at && r->elements < 64);
            r->element[r->elements++] = parse(at);
        }
        ++*at;
        return r;
    }
    const char *start = *at + (**at == '\'' || **at == '+' || **at == '!');
    size_t len = **at == '\'' ? strcspn(start, "'") : strcspn(start, " ]");
    r->type = **at == '\''                               ? REDIS_REPLY_STRING
              : **at == '+'                              ? REDIS_REPLY_STATUS
              : **at == '!'                              ? REDIS_REPLY_ERROR
              : len == 3 && memcmp(start, "nil", 3) == 0 ? REDIS_REPLY_NIL
                                                         : REDIS_REPLY_INTEGER;
    *at = start + len + (**at == '\'');
    if (r->type == REDIS_REPLY_INTEGER) {
        r->integer = strtoll(start, NULL, 10);
    } else if (r->type != REDIS_REPLY_NIL) {
        r->str = xstrndup(start, len);
        r->len = len;
    }
    return r;
}

static void drop(redisReply *r) {
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++)
        drop(r->element[i]);
    free(r->type == REDIS_REPLY_ARRAY ? (void *)r->element : (void *)r->str);
    free(r);
}

static redisReply *answer_of(const char *text) {
    redisReply *r = parse(&text);
    assert_int_equal(*text, '\0');
    return r;
}

typedef bool reads(const redisReply *reply);

/* Every one of these texts is refused; so is no answer at all, where the reader takes NULL. */
static void refuses(reads *read, const char *const *texts) {
    assert_false(read(NULL));
    for (; *texts; texts++) {
        redisReply *r = answer_of(*texts);
        if (read(r))
            fail_msg("read: %s", *texts);
        drop(r);
    }
}

/* --- commands -------------------------------------------------------------------------------- */

/* The arguments of a command, joined by '|'; of a script: its name and what follows the queue. */
static void expect(struct cmd *c, const char *expected) {
    struct buf text = BUF_INIT;
    size_t first = 0;
    cmd_argv(c);
    if (c->script) {
        assert_memory_equal(c->argv[0], "EVALSHA", 7);
        assert_memory_equal(c->argv[3], QUEUE, strlen(QUEUE));
        assert_int_equal(c->lens[3], strlen(QUEUE));
        buf_adds(&text, c->script->name);
        first = 4;
    }
    for (size_t i = first; i < c->count; i++) {
        if (i > 0)
            buf_addc(&text, '|');
        buf_add(&text, c->argv[i], c->lens[i]);
    }
    assert_string_equal(text.data, expected);
    buf_free(&text);
    cmd_clear(c);
}

static void builders_give_what_the_scripts_take(void **state) {
    (void)state;
    struct cmd c = CMD_INIT;
    register_build(&c, QUEUE,
                   &(struct register_args){"w", "inc", "ses", "a.0 b.7", 30000, "{}", 5});
    expect(&c, "register|w|inc|ses|a.0 b.7|30000|{}|5");
    struct claim_args claim = {.worker = "w",
                               .session = "ses",
                               .request = 0xab,
                               .nonce = UINT64_MAX,
                               .free_mem_bytes = UINT64_C(1) << 40,
                               .free_mcpu = 4000,
                               .slots = 500,
                               .auto_mem_bytes = 17,
                               .caps = ",label:a,",
                               .rank = 3,
                               .most_mem_bytes = UINT64_C(1) << 41,
                               .most_mcpu = 8000,
                               .starve_after_ms = 60000,
                               .forecast = "0 5 4000",
                               .gpus = "1000:5:7:9:1"};
    claim_build(&c, QUEUE, &claim);
    expect(&c, "claim|w|ses|00000000000000ab|ffffffffffffffff|1099511627776|4000|500|17|,label:a,"
               "|3|2199023255552|8000|60000|0 5 4000|1000:5:7:9:1");
    report_begin(&c, QUEUE, "w", 5, 1000000);
    report_add(&c, &(struct report_item){.id = ID1,
                                         .try_number = 2,
                                         .nonce = "aa",
                                         .outcome = TRY_FAILED,
                                         .delay_ms = -1,
                                         .entry = {"EN", 2},
                                         .output = {"OUT", 3}});
    report_add(&c, &(struct report_item){
                       .id = ID2, .try_number = 65535, .nonce = "bb", .outcome = TRY_RELEASED});
    expect(&c, "report|w|5|1000000|" ID1 "|2|aa|failed|-1|EN|OUT||" ID2 "|65535|bb|released|0|||");
    report_begin(&c, QUEUE, "w", 5, 0);
    report_add(&c, &(struct report_item){.id = ID1,
                                         .nonce = "aa",
                                         .outcome = TRY_RETURNED,
                                         .family = {"shell lru", 9},
                                         .peak_bytes = UINT64_C(0x010203040506),
                                         .promised_bytes = UINT64_C(0x111213141516),
                                         .need_bytes = UINT64_C(0x212223242526)});
    struct buf packed = BUF_INIT;
    char digest[FAMILY_DIGEST_LEN + 1];
    family_digest("shell lru", 9, digest);
    buf_add_be(&packed, task_mem_step(UINT64_C(0x010203040506)), 1);
    buf_addf(&packed, "\x01\x02\x03\x04\x05\x06\x11\x12\x13\x14\x15\x16!\"#$%%&%sshell lru",
             digest);
    cmd_argv(&c);
    assert_int_equal(c.count, 7 + 8);
    assert_int_equal(c.lens[14], packed.len);
    assert_memory_equal(c.argv[14], packed.data, packed.len);
    cmd_clear(&c);
    buf_free(&packed);
    renew_build(&c, QUEUE, "w", "ses", 30000, 2, 281474976710655, "{\"a\":1}");
    expect(&c, "renew|w|ses|30000|2|281474976710655|{\"a\":1}");
    reconcile_begin(&c, QUEUE, "w", "ses");
    reconcile_add(&c, ID1, 1, "aa", 0);
    reconcile_add(&c, ID2, 2, "bb", UINT64_C(1) << 41);
    expect(&c, "reconcile|w|ses|" ID1 "|1|aa|0|" ID2 "|2|bb|2199023255552");
    health_build(&c, QUEUE, "w", 20);
    expect(&c, "health|w|20");
    want_build(&c, QUEUE, "drain", "w");
    expect(&c, "want|drain|w");
    leave_build(&c, QUEUE, "w", "ses");
    expect(&c, "leave|w|ses");
    maintain_build(&c, QUEUE, 5, 1000, 86400000, 9);
    expect(&c, "maintain|5|1000|86400000|9");
    outlook_build(&c, QUEUE);
    expect(&c, "HMGET|" QUEUE ":count|todo|waiting|in_progress|delayed|finished");
    cmd_free(&c);
}

static void entries_may_hold_any_byte(void **state) {
    (void)state;
    struct cmd c = CMD_INIT;
    report_begin(&c, QUEUE, "w", 5, 0);
    report_add(&c, &(struct report_item){.id = ID1,
                                         .try_number = 1,
                                         .nonce = "aa",
                                         .outcome = TRY_LOST,
                                         .entry = {"\0|\xff", 3},
                                         .output = {"\n\0", 2}});
    cmd_argv(&c);
    assert_int_equal(c.count, 7 + 8);
    assert_int_equal(c.lens[12], 3);
    assert_memory_equal(c.argv[12], "\0|\xff", 3);
    assert_int_equal(c.lens[13], 2);
    assert_memory_equal(c.argv[13], "\n\0", 2);
    cmd_free(&c);
}

/* --- readers --------------------------------------------------------------------------------- */

static struct register_answer registered;

static bool read_register(const redisReply *r) {
    return register_read(r, &registered);
}

static void register_answers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum register_status status;
    } rows[] = {{"['ok']", REGISTER_OK},
                {"[+ok]", REGISTER_OK},
                {"['again']", REGISTER_AGAIN},
                {"['taken' '{\"host\":\"n\"}' 1500]", REGISTER_TAKEN}};
    for (size_t i = 0; i < 4; i++) {
        redisReply *r = answer_of(rows[i].text);
        assert_true(read_register(r));
        assert_int_equal(registered.status, rows[i].status);
        if (rows[i].status == REGISTER_TAKEN) {
            assert_int_equal(registered.age_ms, 1500);
            assert_int_equal(registered.info.len, 12);
            assert_memory_equal(registered.info.data, "{\"host\":\"n\"}", 12);
        }
        drop(r);
    }
    static const char *const bad[] = {"[]",
                                      "['nonsense']",
                                      "[1]",
                                      "'ok'",
                                      "nil",
                                      "!ERR",
                                      "['taken']",
                                      "['taken' 'i']",
                                      "['taken' 'i' 'x']",
                                      "['taken' 5 5]",
                                      "['taken' nil 5]",
                                      "[['ok']]",
                                      NULL};
    refuses(read_register, bad);
}

static struct claim_answer claimed;

static bool read_claim(const redisReply *r) {
    return claim_read(r, &claimed);
}

static void claim_answers(void **state) {
    (void)state;
    struct claim_args args = {.nonce = 0x0123456789abcdef};
    struct claimed task;
    redisReply *r = answer_of("['ok' 250 -1 '" ID1 "' 'rec' '3221225472 5' '" ID2 "' '' '']");
    assert_true(read_claim(r));
    assert_int_equal(claimed.status, CLAIM_OK);
    assert_int_equal(claimed.due_ms, 250);
    assert_int_equal(claimed.more, -1);
    assert_int_equal(claimed.count, 2);
    assert_true(claim_task(r, &args, 0, &task));
    assert_string_equal(task.id, ID1);
    assert_string_equal(task.nonce, "0123456789abcdef0000");
    assert_int_equal(task.record.len, 3);
    assert_memory_equal(task.record.data, "rec", 3);
    assert_int_equal(task.need_bytes, UINT64_C(3) << 30);
    assert_int_equal(task.hold_bytes, 5);
    assert_true(claim_task(r, &args, 1, &task));
    assert_string_equal(task.id, ID2);
    assert_string_equal(task.nonce, "0123456789abcdef0001");
    assert_int_equal(task.record.len, 0);
    assert_int_equal(task.need_bytes, 0);
    assert_int_equal(task.hold_bytes, 0);
    assert_false(claim_task(r, &args, 2, &task));
    drop(r);
    r = answer_of("['gone' -1 7]");
    assert_true(read_claim(r));
    assert_int_equal(claimed.status, CLAIM_GONE);
    assert_int_equal(claimed.more, 7);
    assert_int_equal(claimed.count, 0);
    drop(r);
    r = answer_of("['stopped' 0 -1]");
    assert_true(read_claim(r));
    assert_int_equal(claimed.status, CLAIM_STOPPED);
    drop(r);
    static const char *const bad[] = {"[]",
                                      "['ok']",
                                      "['ok' 1]",
                                      "['ok' 'x' 1]",
                                      "['ok' 1 'x']",
                                      "['ok' 1 nil]",
                                      "['?' 1 -1]",
                                      "'ok'",
                                      "5",
                                      "nil",
                                      "!ERR",
                                      "['ok' 1 -1 '" ID1 "']",
                                      "['ok' 1 -1 '" ID1 "' 'rec']",
                                      "['ok' 1 -1 '" ID1 "' 'rec' '' '" ID2 "']",
                                      NULL};
    refuses(read_claim, bad);
}

static void claimed_tasks_that_cannot_be(void **state) {
    (void)state;
    static const char *const bad[] = {"['ok' 1 -1 'short' 'rec' '']",
                                      "['ok' 1 -1 '" ID1 "x' 'rec' '']",
                                      "['ok' 1 -1 5 'rec' '']",
                                      "['ok' 1 -1 '" ID1 "' 5 '']",
                                      "['ok' 1 -1 '" ID1 "' nil '']",
                                      "['ok' 1 -1 '" ID1 "' 'rec' nil]",
                                      "['ok' 1 -1 '" ID1 "' 'rec' '5']",
                                      "['ok' 1 -1 '" ID1 "' 'rec' '5 x']",
                                      "['ok' 1 -1 '" ID1 "' 'rec' '-5 5']",
                                      "['ok' 1 -1 '" ID1 "' 'rec' '5 6']",
                                      "['ok' 1 -1 '" ID1 "' 'rec' '5 5 5']"};
    struct claim_args args = {0};
    struct claimed task;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        redisReply *r = answer_of(bad[i]);
        assert_false(claim_task(r, &args, 0, &task));
        drop(r);
    }
}

static struct health health;

static bool read_health(const redisReply *r) {
    return health_read(r, &health);
}

static void health_answers(void **state) {
    (void)state;
    redisReply *r = answer_of("[-3 1]");
    assert_true(read_health(r));
    assert_int_equal(health.finished, -3);
    assert_true(health.hope);
    drop(r);
    static const char *const bad[] = {"[]", "[1]", "['x' 1]", "[1 'x']", "'ok'", "nil", NULL};
    refuses(read_health, bad);
}

static enum report_result results[4];
static int64_t due;

static bool read_report(const redisReply *r) {
    return report_read(r, 2, results, &due);
}

static void report_answers(void **state) {
    (void)state;
    redisReply *r = answer_of("[42 'recorded' 'yours' 'stale' 'unknown']");
    assert_true(report_read(r, 4, results, &due));
    assert_int_equal(due, 42);
    assert_int_equal(results[0], REPORT_RECORDED);
    assert_int_equal(results[1], REPORT_YOURS);
    assert_int_equal(results[2], REPORT_STALE);
    assert_int_equal(results[3], REPORT_UNKNOWN);
    drop(r);
    r = answer_of("[-1]");
    assert_true(report_read(r, 0, results, &due));
    drop(r);
    static const char *const bad[] = {"[]",
                                      "[1]",
                                      "[1 'recorded']",
                                      "[1 'recorded' 'recorded' 'recorded']",
                                      "['x' 'recorded' 'recorded']",
                                      "[1 'recorded' 'lost']",
                                      "[1 'recorded' 5]",
                                      "[1 nil 'recorded']",
                                      "nil",
                                      "+OK",
                                      NULL};
    refuses(read_report, bad);
}

static struct renew_answer renewed;

static bool read_renew(const redisReply *r) {
    return renew_read(r, &renewed);
}

static void renew_answers(void **state) {
    (void)state;
    static const char *const statuses[] = {"ok", "gone", "mismatch"};
    static const char *const wants[] = {"run", "drain", "stop"};
    for (int s = 0; s < 3; s++)
        for (int w = 0; w < 3; w++) {
            char text[64];
            snprintf(text, sizeof text, "['%s' '%s' -1]", statuses[s], wants[w]);
            redisReply *r = answer_of(text);
            assert_true(read_renew(r));
            assert_int_equal(renewed.status, s);
            assert_int_equal(renewed.want, w);
            assert_int_equal(renewed.due_ms, -1);
            assert_int_equal(renewed.cancels, 0);
            drop(r);
        }
    redisReply *r = answer_of("['ok' 'run' 9 '" ID1 "' '" ID2 "' 7]");
    assert_true(read_renew(r));
    assert_int_equal(renewed.cancels, 3);
    assert_string_equal(renew_cancel(r, 0), ID1);
    assert_string_equal(renew_cancel(r, 1), ID2);
    assert_string_equal(renew_cancel(r, 2), ""); /* not an id: finds no task */
    assert_string_equal(renew_cancel(r, 3), "");
    drop(r);
    static const char *const bad[] = {"[]",
                                      "['ok']",
                                      "['ok' 'run']",
                                      "['ok' 'run' 'x']",
                                      "['?' 'run' 1]",
                                      "['ok' '?' 1]",
                                      "['ok' 1 1]",
                                      "nil",
                                      "'ok'",
                                      NULL};
    refuses(read_renew, bad);
}

static enum reconcile_result settled[3];

static bool read_reconcile(const redisReply *r) {
    return reconcile_read(r, 1, settled);
}

static void reconcile_answers(void **state) {
    (void)state;
    redisReply *r = answer_of("['ok' 'yours' 'retaken' 'stale']");
    assert_true(reconcile_read(r, 3, settled));
    assert_int_equal(settled[0], RECONCILE_YOURS);
    assert_int_equal(settled[1], RECONCILE_RETAKEN);
    assert_int_equal(settled[2], RECONCILE_STALE);
    drop(r);
    r = answer_of("['ok']");
    assert_true(reconcile_read(r, 0, settled));
    drop(r);
    static const char *const bad[] = {"[]",
                                      "['gone']",
                                      "['ok']",
                                      "['ok' 'yours' 'yours']",
                                      "['ok' 'mine']",
                                      "['ok' 5]",
                                      "[5 'yours']",
                                      "nil",
                                      "+ok",
                                      NULL};
    refuses(read_reconcile, bad);
}

static struct outlook outlook;

static bool read_outlook(const redisReply *r) {
    return outlook_read(r, &outlook);
}

static void outlook_answers(void **state) {
    (void)state;
    redisReply *r = answer_of("['1' '2' nil '4' '18446744073709551615']");
    assert_true(read_outlook(r));
    assert_int_equal(outlook.todo, 1);
    assert_int_equal(outlook.waiting, 2);
    assert_int_equal(outlook.in_progress, 0);
    assert_int_equal(outlook.delayed, 4);
    assert_int_equal(outlook.finished, UINT64_MAX);
    drop(r);
    static const char *const bad[] = {
        "[]", "['1' '2' '3' '4']", "['1' '2' '3' '4' '5' '6']", "nil", "!WRONGTYPE", "5", NULL};
    refuses(read_outlook, bad);
}

static int64_t lost;

static bool read_maintain(const redisReply *r) {
    return maintain_read(r, &due, &lost);
}

static void maintain_and_leave_answers(void **state) {
    (void)state;
    redisReply *r = answer_of("[0 12]");
    assert_true(read_maintain(r));
    assert_int_equal(due, 0);
    assert_int_equal(lost, 12);
    drop(r);
    static const char *const bad[] = {"[]", "[1]", "[1 'x']", "['x' 1]", "[nil 1]", "1", NULL};
    refuses(read_maintain, bad);
    static const char *const stay[] = {"'again'", "+again", "!ERR", "nil",
                                       "5",       "['ok']", "''",   NULL};
    refuses(leave_read, stay);
    static const char *const left[] = {"'ok'", "+ok", "'gone'"};
    for (size_t i = 0; i < 3; i++) {
        r = answer_of(left[i]);
        assert_true(leave_read(r));
        drop(r);
    }
}

/* The numbers were computed apart from this program, by renew.lua's formula in Python:
 *   sum((int(n[:12], 16) + int(n[16:], 16) * 7919 + t) for n, t in held) % 2**48 */
static void digest_is_the_scripts(void **state) {
    (void)state;
    static const struct {
        const char *nonce;
        uint32_t try_number;
        uint64_t sum; /* of this row and those before it */
    } rows[] = {
        {"00000000000000000000", 1, UINT64_C(1)},
        {"0123456789abcdef0000", 1, UINT64_C(1250999896493)},
        {"ffffffffffffffffffff", 65535, UINT64_C(1251518933692)},
        {"fedcba987654321000ff", 2, UINT64_C(521056547)},
        {"ffffffffffff00000001", 3, UINT64_C(521064468)},
        {"8000000000000000ffff", 300, UINT64_C(140738528391761)},
    };
    uint64_t sum = 0, backwards = 0;
    size_t count = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < count; i++) {
        sum = held_digest_add(sum, rows[i].try_number, rows[i].nonce);
        assert_int_equal(sum, rows[i].sum);
    }
    for (size_t i = count; i-- > 0;)
        backwards = held_digest_add(backwards, rows[i].try_number, rows[i].nonce);
    assert_int_equal(backwards, sum);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builders_give_what_the_scripts_take),
        cmocka_unit_test(entries_may_hold_any_byte),
        cmocka_unit_test(register_answers),
        cmocka_unit_test(claim_answers),
        cmocka_unit_test(health_answers),
        cmocka_unit_test(claimed_tasks_that_cannot_be),
        cmocka_unit_test(report_answers),
        cmocka_unit_test(renew_answers),
        cmocka_unit_test(reconcile_answers),
        cmocka_unit_test(outlook_answers),
        cmocka_unit_test(maintain_and_leave_answers),
        cmocka_unit_test(digest_is_the_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
