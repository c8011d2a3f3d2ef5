#include "kernels/plan/training.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/units.h"
#include "kernels/plan/words.h"

/* --- the command line ---------------------------------------------------------------------------
 */

bool training_count(const char *what, const char *text, double min, double max, uint64_t *count,
                    struct buf *error) {
    const char *expected;
    if (units_parse_uint(text, strlen(text), (uint64_t)min, (uint64_t)max, count, &expected))
        return true;
    buf_addf(error, "%s \"%.40s\", expected a whole number of %.0f to %.0f", what, text, min, max);
    return false;
}

bool training_real(const char *what, const char *text, double min, double max, double *real,
                   struct buf *error) {
    char *end = NULL;
    *real = strtod(text, &end);
    if (end != text && *end == '\0' && *real >= min && *real <= max)
        return true;
    buf_addf(error, "%s \"%.40s\", expected a number of %g to %g", what, text, min, max);
    return false;
}

static const struct training_option *find(const struct training_option *options, const char *word,
                                          size_t len) {
    for (; options->name != NULL; options++)
        if (strlen(options->name) == len && strncmp(options->name, word, len) == 0)
            return options;
    return NULL;
}

static bool take(const struct training_option *option, const char *value, struct buf *error) {
    if (option->count != NULL)
        return training_count(option->name, value, option->min, option->max, option->count, error);
    if (option->real != NULL)
        return training_real(option->name, value, option->min, option->max, option->real, error);
    *option->text = value;
    return plan_check_name(option->name, value, error);
}

bool training_parse(int argc, char **argv, const struct training_option *options,
                    const char **operand, size_t operands, const char *expected,
                    struct buf *error) {
    size_t count = 0;
    bool more = true;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (more && strcmp(word, "--") == 0) {
            more = false;
        } else if (more && strncmp(word, "--", 2) == 0) {
            size_t len = strcspn(word, "=");
            const struct training_option *option = find(options, word, len);
            if (option == NULL) {
                buf_addf(error, "unknown option %s", word);
                return false;
            }
            if (word[len] == '\0' && ++i == argc) {
                buf_addf(error, "%s: a value is missing", option->name);
                return false;
            }
            if (!take(option, word[len] != '\0' ? word + len + 1 : argv[i], error))
                return false;
        } else if (count == operands) {
            buf_addf(error, "\"%.60s\" is one too many: expected %s", word, expected);
            return false;
        } else {
            operand[count++] = word;
        }
    }
    if (count < operands)
        buf_addf(error, "expected %s", expected);
    return count == operands;
}

/* --- names --------------------------------------------------------------------------------------
 */

bool training_is_local(const char *name) {
    return strncmp(name, "redis:", 6) != 0 && strncmp(name, "http://", 7) != 0 &&
           strncmp(name, "https://", 8) != 0;
}

static void cut_slashes(struct buf *b, size_t from) {
    while (b->len > from + 1 && b->data[b->len - 1] == '/')
        b->data[--b->len] = '\0';
}

bool training_add_dir(struct buf *out, const char *what, const char *dir, struct buf *error) {
    size_t from = out->len;
    if (!plan_check_name(what, dir, error))
        return false;
    if (!training_is_local(dir)) {
        buf_adds(out, dir);
        cut_slashes(out, from);
        return true;
    }
    char path[PATH_MAX];
    struct stat st;
    if (realpath(dir, path) == NULL || stat(path, &st) != 0) {
        buf_addf(error, "%s %s: %s", what, dir, strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        buf_addf(error, "%s %s is not a directory", what, dir);
        return false;
    }
    buf_adds(out, path);
    return plan_check_name(what, path, error);
}

bool training_add_prefix(struct buf *out, const char *what, const char *prefix, struct buf *error) {
    const char *slash = strrchr(prefix, '/');
    if (!plan_check_name(what, prefix, error))
        return false;
    if (!training_is_local(prefix)) {
        buf_adds(out, prefix);
        return true;
    }
    char *dir = slash == NULL     ? xstrdup(".")
                : slash == prefix ? xstrdup("/")
                                  : xstrndup(prefix, (size_t)(slash - prefix));
    bool ok = training_add_dir(out, what, dir, error);
    free(dir);
    if (ok && out->data[out->len - 1] != '/')
        buf_addc(out, '/');
    buf_adds(out, slash == NULL ? prefix : slash + 1);
    return ok;
}

void training_add_stamp(struct buf *text, const char *name) {
    struct stat st;
    buf_addf(text, "%s\n", name);
    if (training_is_local(name) && stat(name, &st) == 0)
        buf_addf(text, "%lld %lld.%09ld\n", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                 st.st_mtim.tv_nsec);
}

void training_add_real(struct buf *out, double value) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (!(fabs(strtod(text, NULL) - value) > 0))
            break;
    }
    buf_adds(out, text);
}

/* --- lines --------------------------------------------------------------------------------------
 */

void training_add_group(struct buf *out, const char *group, const char *part, const char *after) {
    buf_addf(out, "#@ name=%s/%s after=", group, part);
    if (after != NULL)
        buf_addf(out, "%s/%s", group, after);
    buf_addc(out, '\n');
}

void training_add_task(struct buf *out, uint64_t priority, uint64_t bytes, const char *kernel) {
    uint64_t mib = (bytes + (1u << 20) - 1) >> 20;
    buf_addf(out, "native:%llu:%lluMiB:1:%s", (unsigned long long)priority, (unsigned long long)mib,
             kernel);
}

void training_add_param(struct buf *out, const char *key, const char *format, ...) {
    struct buf value = BUF_INIT;
    va_list args;
    va_start(args, format);
    buf_addvf(&value, format, args);
    va_end(args);
    buf_addf(out, " %s=", key);
    plan_add_word(out, value.data);
    buf_free(&value);
}
