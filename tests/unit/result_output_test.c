/* result.h: from output files to what goes to Redis and what is kept. */
#include "tests/unit/result_rig.h"

#include <zlib.h>

static void head_and_tail_around_the_limit(void **state) {
    (void)state;
    static const size_t sizes[] = {999, 1000, 1001, 5000};
    for (size_t i = 0; i < 4; i++) {
        size_t size = sizes[i];
        char *bytes = many(size), mark[64];
        print(false, bytes, size);
        assert_true(make());
        assert_int_equal(output.out_bytes, size);
        if (size <= 1000) {
            expect_text(output.out, bytes);
            assert_int_equal(output.flags, 0);
            assert_int_equal(result.ack_flags, 0);
            assert_true(stream_is_there(false));
        } else {
            int len =
                snprintf(mark, sizeof mark, "\n[distcomp: %zu bytes left out]\n", size - 1000);
            assert_int_equal(output.out.len, 1000 + len);
            assert_memory_equal(output.out.data, bytes, 500);
            assert_memory_equal(output.out.data + 500, mark, (size_t)len);
            assert_memory_equal(output.out.data + 500 + len, bytes + size - 500, 500);
            assert_int_equal(output.flags, OUTPUT_CUT_OUT);
            /* The whole of it is a file of the worker. */
            assert_int_equal(result.ack_flags, WIRE_ACK_OUT_TAKEN);
            assert_false(stream_is_there(false));
            expect_kept(ID ".2.out", bytes, size);
            expect_text(entry.node, "node1");
            assert_true(contains(entry.path, result_dir));
        }
        free(bytes);
    }
}

static void limits_of_0_and_of_an_odd_number(void **state) {
    (void)state;
    print(true, "abcdef", 6);
    config.output_limit_bytes = 3;
    assert_true(make());
    expect_text(output.err, "a\n[distcomp: 4 bytes left out]\nf");
    assert_int_equal(output.flags, OUTPUT_CUT_ERR);
    assert_int_equal(result.ack_flags, WIRE_ACK_ERR_TAKEN);
    print(true, "abcdef", 6);
    config.output_limit_bytes = 0;
    assert_true(make());
    expect_text(output.err, "\n[distcomp: 6 bytes left out]\n");
}

static void any_byte_is_output(void **state) {
    (void)state;
    print(false, "a\0b\xff\n", 5);
    print(true, "\0\0", 2);
    run.exit.status = EXITED(1);
    assert_true(make());
    assert_int_equal(output.out.len, 5);
    assert_memory_equal(output.out.data, "a\0b\xff\n", 5);
    assert_int_equal(output.err.len, 2);
    assert_memory_equal(output.err.data, "\0\0", 2);
    assert_int_equal(entry.reason.len, 2);
}

static void reason_is_the_last_lines(void **state) {
    (void)state;
    run.exit.status = EXITED(1);
    print(true, "1\n2\n3\n4\n5\n6\n7\n\n\n", 16);
    make();
    expect_text(entry.reason, "3\n4\n5\n6\n7");
    print(true, "only", 4);
    make();
    expect_text(entry.reason, "only");
    char *bytes = many(3000); /* one long line: its last 1000 bytes */
    print(true, bytes, 3000);
    make();
    expect_text(entry.reason, bytes + 2000);
    free(bytes);
}

static void kept_when_asked_for(void **state) {
    (void)state;
    run.output = OUTPUT_KEEP;
    print(false, "out", 3);
    print(true, "err", 3);
    assert_true(make());
    expect_text(output.out, "out"); /* in Redis too, being short */
    assert_int_equal(output.flags, 0);
    assert_int_equal(result.ack_flags, WIRE_ACK_OUT_TAKEN | WIRE_ACK_ERR_TAKEN);
    expect_kept(ID ".2.out", "out", 3);
    expect_kept(ID ".2.err", "err", 3);
    char paths[300];
    snprintf(paths, sizeof paths, "%s/" ID ".2.out\n%s/" ID ".2.err", result_dir, result_dir);
    expect_text(entry.path, paths);
}

/* result_dir on another file system: a copy, and the slot keeps its file. */
static void kept_on_another_file_system(void **state) {
    (void)state;
    struct stat here, there;
    char *bytes = many(200000), other[] = "/dev/shm/resultXXXXXX";
    if (stat(root, &here) != 0 || stat("/dev/shm", &there) != 0 || here.st_dev == there.st_dev) {
        print_message("expected: /dev/shm is no other file system here\n");
        skip();
    }
    assert_non_null(mkdtemp(other));
    free(result_dir);
    result_dir = xstrdup(other);
    print(false, bytes, 200000);
    assert_true(make());
    assert_int_equal(result.ack_flags, 0);
    assert_true(stream_is_there(false));
    expect_kept(ID ".2.out", bytes, 200000);
    assert_true(contains(entry.path, other));
    free(bytes);
    assert_int_equal(nftw(other, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The agent died after it had moved a file, before Redis had answered. */
static void a_moved_file_is_found_again(void **state) {
    (void)state;
    char *bytes = many(5000);
    print(false, bytes, 5000);
    assert_true(make());
    struct buf first = BUF_INIT;
    buf_add(&first, result.output.data, result.output.len);
    assert_true(make());
    assert_int_equal(first.len, result.output.len);
    assert_memory_equal(first.data, result.output.data, first.len);
    assert_int_equal(result.ack_flags, WIRE_ACK_OUT_TAKEN);
    assert_true(contains(entry.path, ID ".2.out"));
    expect_text(entry.reason, "");
    buf_free(&first);
    free(bytes);
}

static void a_result_dir_that_cannot_be_is_told(void **state) {
    (void)state;
    char *bytes = many(5000);
    static const char *const places[] = {"/missing/above/results", "/file"};
    char file[128];
    snprintf(file, sizeof file, "%s/file", root);
    write_file(file, "", 0);
    for (int i = 0; i < 2; i++) {
        struct buf place = BUF_INIT;
        buf_addf(&place, "%s%s", root, places[i]);
        free(result_dir);
        result_dir = buf_detach(&place);
        print(false, bytes, 5000);
        assert_true(make()); /* made all the same */
        assert_int_equal(result.outcome, TRY_FINISHED);
        assert_int_equal(result.ack_flags, 0);
        assert_true(contains(entry.reason, "its output could not be kept in"));
        assert_true(contains(entry.reason, result_dir));
        assert_true(contains(entry.reason, i ? "Not a directory" : "No such file"));
        expect_text(entry.path, "");
        expect_text(entry.node, "");
        assert_memory_equal(output.out.data, bytes, 500);
    }
    free(bytes);
}

static void output_that_cannot_be_read_is_told(void **state) {
    (void)state;
    run.exit.out_bytes = 10; /* and no such file */
    print(true, "err", 3);
    assert_true(make());
    assert_int_equal(output.flags, OUTPUT_CUT_OUT);
    assert_int_equal(output.out_bytes, 10);
    assert_int_equal(output.out.len, 0);
    expect_text(output.err, "err");
    assert_true(contains(entry.reason, "its stdout could not be read: No such file"));
    struct buf path = BUF_INIT;
    result_stream_path(&path, state_dir, run.files, false);
    mkdir(path.data, 0700); /* opens, but cannot be read */
    config.output_limit_bytes = 100000;
    assert_true(make());
    assert_true(output.flags & OUTPUT_CUT_OUT);
    assert_true(contains(entry.reason, "its stdout could not be read: Is a directory"));
    buf_free(&path);
}

/* It wrote through a second open file, or truncated its own. */
static void a_file_of_another_size_than_told(void **state) {
    (void)state;
    print(false, "short", 5);
    run.exit.out_bytes = 100000;
    assert_true(make());
    expect_text(output.out, "short");
    assert_int_equal(output.out_bytes, 5);
    assert_int_equal(output.flags, 0);
}

static void past_output_max_the_hole_is_no_output(void **state) {
    (void)state;
    char *bytes = many(4 * 65536);
    config.output_max_bytes = 65536;
    config.output_limit_bytes = 1 << 24;
    print(false, bytes, 4 * 65536);
    assert_true(make());
    assert_int_equal(output.flags, OUTPUT_CUT_OUT);
    assert_memory_equal(output.out.data, bytes, 32768);
    assert_true(contains(output.out, "[distcomp: 196608 bytes left out]"));
    assert_memory_equal(output.out.data + output.out.len - 32768, bytes + 4 * 65536 - 32768, 32768);
    free(bytes);
}

static void expect_inflated(struct slice packed, const char *bytes, size_t len) {
    uLongf size = len + 100;
    char *text = xmalloc(size);
    assert_int_equal(uncompress((Bytef *)text, &size, (const Bytef *)packed.data, packed.len),
                     Z_OK);
    assert_int_equal(size, len);
    assert_memory_equal(text, bytes, len);
    free(text);
}

static void all_of_it_to_redis_compressed(void **state) {
    (void)state;
    char *bytes = many(50000);
    run.output = OUTPUT_REDIS;
    config.output_redis_max_bytes = 50000;
    print(false, bytes, 50000);
    assert_true(make());
    assert_int_equal(output.flags, OUTPUT_COMPRESSED);
    assert_int_equal(output.out_bytes, 50000);
    assert_true(output.out.len < 5000);
    expect_inflated(output.out, bytes, 50000);
    expect_inflated(output.err, "", 0);
    assert_int_equal(result.ack_flags, 0);
    config.output_redis_max_bytes = 49999;
    assert_true(make());
    assert_int_equal(output.flags, OUTPUT_COMPRESSED | OUTPUT_CUT_OUT);
    assert_int_equal(result.ack_flags, WIRE_ACK_OUT_TAKEN);
    expect_kept(ID ".2.out", bytes, 50000);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(head_and_tail_around_the_limit),
        fresh(limits_of_0_and_of_an_odd_number),
        fresh(any_byte_is_output),
        fresh(reason_is_the_last_lines),
        fresh(kept_when_asked_for),
        fresh(kept_on_another_file_system),
        fresh(a_moved_file_is_found_again),
        fresh(a_result_dir_that_cannot_be_is_told),
        fresh(output_that_cannot_be_read_is_told),
        fresh(a_file_of_another_size_than_told),
        fresh(past_output_max_the_hole_is_no_output),
        fresh(all_of_it_to_redis_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
