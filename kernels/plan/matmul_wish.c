#include "kernels/plan/matmul_wish.h"

#include <string.h>

#include "common/field.h"
#include "common/task.h"
#include "common/units.h"
#include "kernels/kit/matrix.h"
#include "kernels/plan/words.h"

static bool bad(struct buf *error, const char *option, const char *value, const char *expected) {
    buf_addf(error, "%s \"%.60s\", expected %s", option, value, expected);
    return false;
}

static bool take_count(const char *option, const char *value, uint64_t most, uint64_t *count,
                       struct buf *error) {
    const char *expected;
    if (units_parse_uint(value, strlen(value), strcmp(option, "--priority") ? 1 : 0, most, count,
                         &expected))
        return true;
    return bad(error, option, value, expected);
}

/* "N" or "ROWSxCOLS". */
static bool take_block(const char *value, struct matmul_wish *wish, struct buf *error) {
    size_t len = strcspn(value, "x");
    const char *more = value[len] ? value + len + 1 : value, *expected;
    uint64_t rows, cols;
    if (!units_parse_uint(value, len, 1, MATRIX_MOST, &rows, &expected) ||
        !units_parse_uint(more, strlen(more), 1, MATRIX_MOST, &cols, &expected))
        return bad(error, "--block", value, "a number of rows and columns: 1000, or 1000x4096");
    wish->block_rows = rows;
    wish->block_cols = cols;
    return true;
}

static bool take_mem(const char *value, struct matmul_wish *wish, struct buf *error) {
    const char *expected;
    if (!units_parse_bytes(value, strlen(value), UNITS_GIB, &wish->mem_bytes, &expected))
        return bad(error, "--mem", value, expected);
    return true;
}

static bool take_name(const char *value, struct matmul_wish *wish, struct buf *error) {
    wish->name = value;
    return field_name("name", value, strlen(value), error);
}

static bool take_option(const char *option, const char *value, struct matmul_wish *wish,
                        struct buf *error) {
    if (strcmp(option, "--output") == 0)
        wish->out = value;
    else if (strcmp(option, "--blocks") == 0)
        wish->blocks = value;
    else if (strcmp(option, "--block") == 0)
        return take_block(value, wish, error);
    else if (strcmp(option, "--mem") == 0)
        return take_mem(value, wish, error);
    else if (strcmp(option, "--name") == 0)
        return take_name(value, wish, error);
    else if (strcmp(option, "--workers") == 0)
        return take_count(option, value, 1000000, &wish->workers, error);
    else
        return take_count(option, value, TASK_PRIORITY_MAX, &wish->priority, error);
    return true;
}

/* The word as an option of ours, written whole; NULL: it is none. */
static const char *find_option(const char *word, const char **value) {
    static const char *const options[] = {"--output", "--block",  "--mem",     "--workers",
                                          "--name",   "--blocks", "--priority"};
    if (strncmp(word, "-o", 2) == 0) {
        *value = word[2] ? word + 2 : NULL;
        return options[0];
    }
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        size_t len = strlen(options[i]);
        if (strncmp(word, options[i], len) == 0 && (!word[len] || word[len] == '=')) {
            *value = word[len] ? word + len + 1 : NULL;
            return options[i];
        }
    }
    return NULL;
}

static bool take_operand(const char *word, struct matmul_wish *wish, struct buf *error) {
    if (wish->name_count == 2) {
        buf_addf(error, "\"%.60s\" is one too many: expected two matrices, A and B", word);
        return false;
    }
    wish->names[wish->name_count++] = word;
    return true;
}

bool matmul_wish_parse(int argc, char **argv, struct matmul_wish *wish, struct buf *error) {
    bool options = true;
    for (int i = 1; i < argc; i++) {
        const char *value = NULL, *option = options ? find_option(argv[i], &value) : NULL;
        if (option) {
            if (!value && ++i == argc) {
                buf_addf(error, "%s: a value is missing", option);
                return false;
            }
            if (!take_option(option, value ? value : argv[i], wish, error))
                return false;
            continue;
        }
        int took =
            options ? config_take_flag(&wish->flags, argc, argv, i, CONFIG_MANAGER, error) : 0;
        if (took < 0)
            return false;
        if (took > 0) {
            i += took - 1;
        } else if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            buf_addf(error, "unknown option %s", argv[i]);
            return false;
        } else if (!take_operand(argv[i], wish, error)) {
            return false;
        }
    }
    if (wish->name_count < 2 || !wish->out) {
        buf_adds(error, wish->name_count < 2 ? "expected two matrices, A and B"
                                             : "expected -o C: where the product goes");
        return false;
    }
    return plan_check_name("A", wish->names[0], error) &&
           plan_check_name("B", wish->names[1], error) && plan_check_name("C", wish->out, error) &&
           (!wish->blocks || plan_check_name("--blocks", wish->blocks, error));
}
