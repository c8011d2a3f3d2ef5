/* What is read from CUDA source and NVRTC's log, as text (nvrtc.h). */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/nvrtc.h"

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* The name of the function that a `__global__` at this place begins: what stands before the first
 * '(' that is not of an attribute such as __launch_bounds__(256). */
static size_t function_name(const char *at, const char **name) {
    for (;;) {
        size_t len = strcspn(at, "(;{");
        if (at[len] != '(')
            return 0;
        const char *end = at + len;
        while (end > at && isspace((unsigned char)end[-1]))
            end--;
        const char *start = end;
        while (start > at && is_name(start[-1]))
            start--;
        size_t bytes = (size_t)(end - start);
        if (bytes == 0)
            return 0;
        if (bytes < 2 || strncmp(start, "__", 2) != 0) {
            *name = start;
            return bytes;
        }
        at += len + 1;
        at += strcspn(at, ")");
        at += *at == ')';
    }
}

void nvrtc_kernels_of(const char *source, char *names, size_t size) {
    size_t used = 0;
    static const char mark[] = "__global__";
    if (size)
        *names = '\0';
    for (const char *at = strstr(source, mark); at; at = strstr(at, mark)) {
        const char *name = NULL;
        at += sizeof mark - 1;
        size_t bytes = function_name(at, &name);
        if (!bytes || used + bytes + 3 > size)
            continue;
        used += (size_t)snprintf(names + used, size - used, "%s%.*s", used ? ", " : "", (int)bytes,
                                 name);
    }
}

void nvrtc_first_error(const char *log, char *line, size_t size) {
    const char *best = NULL;
    for (const char *at = log; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t len = strcspn(at, "\n");
        const char *error = strstr(at, "error");
        bool says = error && error < at + len;
        const char *fatal = strstr(at, "fatal");
        says = says || (fatal && fatal < at + len);
        if (says) {
            best = at;
            break;
        }
        if (!best && len)
            best = at;
    }
    snprintf(line, size, "%.*s", best ? (int)strcspn(best, "\n") : 0, best ? best : "");
}

bool nvrtc_keepable(const char *source, const char *options) {
    static const char *const names_files[] = {"-I", "--include-path", "-include", "--pre-include"};
    for (size_t i = 0; i < sizeof names_files / sizeof *names_files; i++)
        if (strstr(options, names_files[i]))
            return false;
    for (const char *at = strstr(source, "include"); at; at = strstr(at, "include")) {
        at += strlen("include");
        at += strspn(at, " \t");
        if (*at != '<')
            return false;
    }
    return !strstr(source, "embed");
}
