#include "kernels/data/curllib.h"

#include <dlfcn.h>
#include <stdbool.h>

/* That of OpenSSL, and Debian's of GnuTLS. */
static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};

static bool load(struct curllib *lib, void *handle) {
    bool ok = true;
/* POSIX gives functions as void *, ISO C does not convert them. */
#define X(name)                                                                                    \
    *(void **)&lib->name = dlsym(handle, "curl_" #name);                                           \
    ok = ok && lib->name;
    CURLLIB_FUNCTIONS(X)
#undef X
    return ok && lib->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

/* Never closed: the TLS library behind it does not bear that. */
const struct curllib *curllib_open(struct buf *error) {
    static struct curllib lib;
    static bool ready;
    for (size_t i = 0; i < sizeof names / sizeof *names && !ready; i++) {
        void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        ready = handle && load(&lib, handle);
        if (handle && !ready)
            dlclose(handle);
    }
    if (!ready)
        buf_adds(error, "needs libcurl.so.4 (Debian: libcurl4), which is not on this machine");
    return ready ? &lib : NULL;
}
