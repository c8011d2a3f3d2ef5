#include "worker/nvml.h"

#include <dlfcn.h>

#define LIBRARY "libnvidia-ml.so.1"

static bool find(struct nvml *nvml, const char *symbol, void **address, struct buf *why) {
    *address = dlsym(nvml->handle, symbol);
    if (!*address)
        buf_addf(why, "%s has no %s: an NVIDIA driver of R319 or newer is needed", LIBRARY, symbol);
    return *address != NULL;
}

bool nvml_open(struct nvml *nvml, struct buf *why) {
    *nvml = (struct nvml){.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL)};
    if (!nvml->handle) {
        buf_addf(why, "cannot open NVIDIA's driver library: %s", dlerror());
        return false;
    }
    bool ok = find(nvml, "nvmlErrorString", (void **)&nvml->error_string, why);
#define X(member, symbol, arguments) ok = ok && find(nvml, symbol, (void **)&nvml->member, why);
    NVML_FUNCTIONS(X)
#undef X
    int code = ok ? nvml->init() : 0;
    if (code != NVML_SUCCESS) {
        buf_addf(why, "nvmlInit_v2: %s", nvml->error_string(code));
        ok = false;
    }
    if (!ok) {
        dlclose(nvml->handle);
        nvml->handle = NULL;
    }
    return ok;
}

void nvml_close(struct nvml *nvml) {
    if (!nvml->handle)
        return;
    nvml->shutdown();
    dlclose(nvml->handle);
    nvml->handle = NULL;
}
