#include "kernels/cuda/ptx.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%';
}

/* The text after ".entry NAME", at its '('; NULL: there is none. */
static const char *find_entry(const char *ptx, const char *entry) {
    size_t len = strlen(entry);
    for (const char *at = strstr(ptx, ".entry"); at; at = strstr(at, ".entry")) {
        at += strlen(".entry");
        at += strspn(at, " \t\r\n");
        if (strncmp(at, entry, len) == 0 && !is_name(at[len]))
            return at + len + strspn(at + len, " \t\r\n");
    }
    return NULL;
}

/* One parameter: ".param .align 4 .b8 NAME[12]", ".param .u64 .ptr .global .align 1 NAME". */
static bool read_param(const char *text, const char *end, struct ptx_param *param) {
    *param = (struct ptx_param){.bytes = 0};
    for (const char *at = text; at < end; at++) {
        if (*at == '[' && param->bytes) {
            size_t many = strtoul(at + 1, NULL, 10);
            *param = (struct ptx_param){PTX_BYTES, param->bytes * many};
        }
        if (*at != '.' || param->bytes || end - at < 3 || !strchr("busf", at[1]) ||
            !isdigit((unsigned char)at[2]))
            continue;
        param->bytes = strtoul(at + 2, NULL, 10) / 8;
        param->kind = at[1] == 'f' ? PTX_FLOAT : PTX_INTEGER;
    }
    return param->bytes > 0;
}

bool ptx_params(const char *ptx, const char *entry, struct ptx_param *params, size_t *count) {
    const char *at = find_entry(ptx, entry);
    *count = 0;
    if (!at)
        return false;
    if (*at != '(') /* "entry NAME {" has none */
        return true;
    const char *close = strchr(at, ')');
    if (!close)
        return false;
    for (at++; at < close;) {
        size_t len = strcspn(at, ",)");
        bool blank = strspn(at, " \t\r\n") >= len;
        if (blank && at + len == close && *count == 0)
            return true;
        if (*count == PTX_PARAMS_MAX || !read_param(at, at + len, &params[*count]))
            return false;
        (*count)++;
        at += len + 1;
    }
    return true;
}

void ptx_param_text(const struct ptx_param *param, char *text, size_t size) {
    if (param->kind == PTX_BYTES)
        snprintf(text, size, "%zu bytes", param->bytes);
    else
        snprintf(text, size, "%c%zu", param->kind == PTX_FLOAT ? 'f' : 'u', 8 * param->bytes);
}
