#include "kernels/host/request.h"

#include <string.h>

#define ARGUMENTS 3u /* the program's name, "serve", KERNEL key=value ... */

/* The string after this one; NULL when it has no end. */
static const char *after(const char *string, const char *end) {
    const char *nul = string < end ? memchr(string, '\0', (size_t)(end - string)) : NULL;
    return nul ? nul + 1 : NULL;
}

bool request_read(const char *message, size_t len, struct request *request, const char **why) {
    const char *at = message + sizeof request->head, *end = message + len;
    *why = "it is cut off";
    if (len < sizeof request->head)
        return false;
    memcpy(&request->head, message, sizeof request->head);
    *why = "it is of another version";
    if (request->head.version != HOST_VERSION)
        return false;
    *why = "its strings are not what its head says";
    request->cwd = request->head.cwd_len ? at : NULL;
    if (request->cwd) {
        at = after(at, end);
        if (!at || at - request->cwd != (ptrdiff_t)request->head.cwd_len + 1)
            return false;
    }
    if (request->head.argc != ARGUMENTS)
        return false;
    for (uint32_t i = 0; i < ARGUMENTS && at; i++) {
        request->text = at;
        at = after(at, end);
    }
    request->env = at;
    for (uint32_t i = 0; i < request->head.envc && at; i++)
        at = after(at, end);
    return at == end;
}
