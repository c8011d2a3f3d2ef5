#include "common/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/family.h"
#include "common/native.h"

const char *task_state_name(enum task_state state) {
    switch (state) {
#define X(symbol, number, name)                                                                    \
    case TASK_##symbol:                                                                            \
        return name;
        TASK_STATES(X)
#undef X
    }
    return "unknown";
}

bool task_state_parse(const char *name, enum task_state *state) {
#define X(symbol, number, text)                                                                    \
    if (strcmp(name, text) == 0) {                                                                 \
        *state = TASK_##symbol;                                                                    \
        return true;                                                                               \
    }
    TASK_STATES(X)
#undef X
    return false;
}

static const char *const type_names[] = {
    [TASK_SHELL] = "shell", [TASK_PYTHON] = "python", [TASK_NATIVE] = "native"};
#define TYPE_COUNT (sizeof type_names / sizeof type_names[0])

const char *task_type_name(enum task_type type) {
    return (size_t)type < TYPE_COUNT ? type_names[type] : "unknown";
}

bool task_type_parse(const char *name, size_t len, enum task_type *type) {
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strlen(type_names[i]) == len && memcmp(name, type_names[i], len) == 0) {
            *type = (enum task_type)i;
            return true;
        }
    }
    return false;
}

const struct task_option_info task_options[] = {
#define X(symbol, tag, key, form, help) {OPT_##symbol, key, FORM_##form, help},
    TASK_OPTIONS(X)
#undef X
};
const size_t task_options_count = sizeof task_options / sizeof task_options[0];

const struct task_option *task_option(const struct task *task, enum task_option_tag tag) {
    for (size_t i = 0; i < task->option_count && task->options[i].tag <= tag; i++)
        if (task->options[i].tag == tag)
            return &task->options[i];
    return NULL;
}

int64_t task_option_number(const struct task *task, enum task_option_tag tag, int64_t absent) {
    const struct task_option *option = task_option(task, tag);
    if (!option || !option->len)
        return absent;
    int64_t number = 0;
    for (size_t i = 0; i < option->len; i++) {
        int digit = (unsigned char)option->value[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return absent;
    }
    return number;
}

bool task_option_is(const struct task *task, enum task_option_tag tag, const char *value) {
    const struct task_option *option = task_option(task, tag);
    return option && option->len == strlen(value) && memcmp(option->value, value, option->len) == 0;
}

#define LADDER_UNIT_SHIFT 17 /* 128 KiB, an eighth of the first rung's octave */

uint8_t task_mem_step(uint64_t mem_bytes) {
    if (mem_bytes == 0)
        return 0;
    if (mem_bytes == TASK_MEM_AUTO)
        return TASK_STEP_AUTO;
    if (mem_bytes > TASK_MEM_MAX)
        mem_bytes = TASK_MEM_MAX;
    uint64_t units = (mem_bytes + (1u << LADDER_UNIT_SHIFT) - 1) >> LADDER_UNIT_SHIFT;
    if (units < 8)
        units = 8;
    unsigned octave = 63u - (unsigned)__builtin_clzll(units) - 3u;
    uint64_t eighths = (units + (UINT64_C(1) << octave) - 1) >> octave; /* 8..16 */
    return (uint8_t)(1 + octave * 8 + (unsigned)(eighths - 8));
}

uint64_t task_step_bytes(uint8_t step) {
    if (step == 0)
        return 0;
    if (step == TASK_STEP_AUTO)
        return UINT64_MAX;
    unsigned rung = step - 1u;
    return (UINT64_C(8) + rung % 8) << (rung / 8 + LADDER_UNIT_SHIFT);
}

static int name_compare(const char *a, size_t a_len, const char *b, size_t b_len) {
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* The smallest name in a list joined by ',' that comes after `last` (NULL: the smallest of all). */
static bool next_name(const struct task_option *list, const char **last, size_t *last_len) {
    const char *best = NULL;
    size_t best_len = 0;
    for (const char *at = list->value, *end = at + list->len; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t len = (size_t)((comma ? comma : end) - at);
        if (len && (!*last || name_compare(at, len, *last, *last_len) > 0) &&
            (!best || name_compare(at, len, best, best_len) < 0)) {
            best = at;
            best_len = len;
        }
        at += len + 1;
    }
    *last = best;
    *last_len = best_len;
    return best != NULL;
}

static void require(struct buf *out, size_t start, const char *word, const char *value,
                    size_t len) {
    if (out->len > start)
        buf_addc(out, ',');
    buf_adds(out, word);
    buf_add(out, value, len);
}

static void require_family(const struct task *task, struct buf *out, size_t start) {
    struct buf key = BUF_INIT;
    char digest[FAMILY_DIGEST_LEN + 1];
    family_key(task, &key);
    family_digest(key.data, key.len, digest);
    require(out, start, "family:", digest, FAMILY_DIGEST_LEN);
    buf_free(&key);
}

int64_t task_gpu_milli(const struct task *task) {
    const struct task_option *gpu = task_option(task, OPT_GPU);
    if (gpu)
        return task_option_number(task, OPT_GPU, 0);
    bool asks = task->type == TASK_NATIVE &&
                native_device(task->params, task->params_len) == NATIVE_DEVICE_GPU;
    return asks ? 1000 : 0;
}

static void require_gpu(const struct task *task, struct buf *out, size_t start) {
    char number[24];
    int64_t milli = task_gpu_milli(task);
    int len = snprintf(number, sizeof number, "%" PRId64, milli);
    if (milli > 0)
        require(out, start, "gpu:", number, (size_t)len);
}

/* A name that no loader lets pass is a kernel that nobody has. */
static void require_kernel(const struct task *task, struct buf *out, size_t start) {
    const char *name = NULL;
    size_t len = 0;
    if (native_name(task->params, task->params_len, &name, &len))
        require(out, start, "kernel:", name, len);
    else
        require(out, start, "kernel:", "", 0);
}

/* Words are emitted in byte order: "family:" < "gpu:" < "gpu_mem:" < "kernel:" < "label:" < "limit"
 * < "pin". */
void task_requires(const struct task *task, struct buf *out) {
    size_t start = out->len;
    if (task->mem_bytes == TASK_MEM_AUTO)
        require_family(task, out, start);
    if (task->option_count || task->type == TASK_NATIVE) {
        require_gpu(task, out, start);
        const struct task_option *gpu_mem = task_option(task, OPT_GPU_MEM);
        if (gpu_mem && task_option_number(task, OPT_GPU_MEM, 0) > 0)
            require(out, start, "gpu_mem:", gpu_mem->value, gpu_mem->len);
        if (task->type == TASK_NATIVE)
            require_kernel(task, out, start);
        const struct task_option *labels = task_option(task, OPT_LABELS);
        const char *name = NULL;
        size_t len = 0;
        while (labels && next_name(labels, &name, &len))
            require(out, start, "label:", name, len);
        if (task_option_is(task, OPT_LIMIT, "hard"))
            require(out, start, "limit", "", 0);
    }
    const struct task_option *pin = task->option_count ? task_option(task, OPT_PIN) : NULL;
    if (pin && !task_option_is(task, OPT_PIN, "none"))
        require(out, start, "pin", "", 0);
}

static const char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static unsigned char *put_be32(unsigned char *at, size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (unsigned char)(value >> shift & 0xff);
    return at;
}

static unsigned char *put_field(unsigned char *at, const char *bytes, size_t len) {
    at = put_be32(at, len);
    if (len)
        memcpy(at, bytes, len);
    return at + len;
}

/* The environment is a set: its order in the file must not change the id. */
static size_t sorted_env(const struct task *task, const struct task_option **env) {
    size_t count = 0;
    for (size_t i = 0; i < task->option_count; i++) {
        const struct task_option *option = &task->options[i];
        if (option->tag != OPT_ENV)
            continue;
        size_t at = count++;
        for (; at > 0 &&
               name_compare(env[at - 1]->value, env[at - 1]->len, option->value, option->len) > 0;
             at--)
            env[at] = env[at - 1];
        env[at] = option;
    }
    return count;
}

void task_id(const struct task *task, char id[TASK_ID_LEN + 1]) {
    static const enum task_option_tag fields[] = {OPT_CWD, OPT_NAME, OPT_REPEAT};
    const size_t field_count = sizeof fields / sizeof fields[0];
    const struct task_option *found[sizeof fields / sizeof fields[0]];
    const struct task_option *env[TASK_OPTIONS_MAX];
    size_t env_count = sorted_env(task, env);
    size_t total = 1 + 4 + task->params_len + 4;
    for (size_t i = 0; i < field_count; i++) {
        found[i] = task_option(task, fields[i]);
        total += 4 + (found[i] ? found[i]->len : 0);
    }
    for (size_t i = 0; i < env_count; i++)
        total += 4 + env[i]->len;

    unsigned char small[1024];
    unsigned char *bytes = total <= sizeof small ? small : xmalloc(total);
    unsigned char *at = bytes;
    *at++ = (unsigned char)task->type;
    at = put_field(at, task->params, task->params_len);
    for (size_t i = 0; i < field_count; i++)
        at = put_field(at, found[i] ? found[i]->value : NULL, found[i] ? found[i]->len : 0);
    at = put_be32(at, env_count);
    for (size_t i = 0; i < env_count; i++)
        at = put_field(at, env[i]->value, env[i]->len);
    XXH128_hash_t hash = XXH3_128bits(bytes, total);
    if (bytes != small)
        free(bytes);

    /* 14 digits of 5 bits: 6 bits of the high half, then the low half. */
    uint64_t low = hash.low64;
    for (size_t i = TASK_ID_LEN; i-- > 2; low >>= 5)
        id[i] = id_digits[low & 31];
    uint64_t rest = low | (hash.high64 & 63) << 4; /* 64 - 12 * 5 = 4 bits are left of low */
    id[1] = id_digits[rest & 31];
    id[0] = id_digits[rest >> 5 & 31];
    id[TASK_ID_LEN] = '\0';
}

bool task_id_valid(const char *s, size_t len) {
    if (len != TASK_ID_LEN)
        return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] == '\0' || !strchr(id_digits, s[i]))
            return false;
    return true;
}
