/*
 * Bytes as what a kernelHost is given. First byte even: a message of the supervisor; what is read
 * of it must lie in it. Odd: the words of a try; values must be within the table, and what is
 * refused must say why, under a name of the table or a word of the input.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/words.h"
#include "kernels/host/params.h"
#include "kernels/host/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N, ANY, RATE, WIDE, CHECK, NOTE, DTYPE, A, PARTS, OUT, MORE, ROWS };

static const struct kernel_param table[] = {
    [N] = {.name = "n", .type = KERNEL_INT, .min = 1, .max = 1e6},
    [ANY] = {.name = "any", .type = KERNEL_INT, .fallback = "-1Ki"},
    [RATE] = {.name = "rate", .type = KERNEL_REAL, .fallback = "0.5", .min = 0, .max = 1},
    [WIDE] = {.name = "wide", .type = KERNEL_REAL, .fallback = ""},
    [CHECK] = {.name = "check", .type = KERNEL_FLAG, .fallback = "yes"},
    [NOTE] = {.name = "note", .type = KERNEL_TEXT, .fallback = ""},
    [DTYPE] = {.name = "dtype", .type = KERNEL_CHOICE, .fallback = "b", .choices = "a|b||cc"},
    [A] = {.name = "a", .type = KERNEL_INPUT, .fallback = ""},
    [PARTS] = {.name = "parts", .type = KERNEL_INPUTS, .fallback = "x,y"},
    [OUT] = {.name = "out", .type = KERNEL_OUTPUT, .fallback = ""},
    [MORE] = {.name = "more", .type = KERNEL_OUTPUTS, .fallback = ""},
    [ROWS] = {0}};

static void check(bool good) {
    if (!good)
        abort();
}

static void check_inside(const char *text, const char *bytes, size_t len) {
    check(text >= bytes && text < bytes + len && memchr(text, 0, (size_t)(bytes + len - text)));
}

static void message(const char *bytes, size_t len) {
    struct request request;
    const char *why = NULL;
    if (!request_read(bytes, len, &request, &why)) {
        check(why && *why);
        return;
    }
    check_inside(request.text, bytes, len);
    if (request.cwd)
        check_inside(request.cwd, bytes, len);
    const char *at = request.env;
    for (uint32_t i = 0; i < request.head.envc; i++, at += strlen(at) + 1)
        check_inside(at, bytes, len);
    check(at == bytes + len);
}

static void check_values(const struct params *params) {
    const struct param_value *v = params->values;
    check(v[N].given && v[N].of.integer >= 1 && v[N].of.integer <= 1000000);
    check(v[RATE].of.real >= 0 && v[RATE].of.real <= 1 && isfinite(v[WIDE].of.real));
    check(v[DTYPE].of.choice < 4);
    check(!v[A].given || *v[A].text);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < v[i].count; k++)
            check(*params_item(params, i, k) && !strchr(params_item(params, i, k), ','));
}

static void parameters(const char *text, size_t len) {
    static struct params params;
    struct words words = WORDS_INIT;
    struct buf error = BUF_INIT;
    size_t offset;
    if (!params.table)
        check(params_init(&params, table, &error));
    if (words_split(text, len, &words, &offset, &error)) {
        if (params_read(&params, words.argv, words.count, &error))
            check_values(&params);
        else
            check(error.len > 0);
    }
    words_free(&words);
    buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    char *copy = malloc(size > 1 ? size - 1 : 1); /* exactly: what is read behind it is seen */
    check(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        parameters(copy, size - 1);
    else
        message(copy, size - 1);
    free(copy);
    return 0;
}
