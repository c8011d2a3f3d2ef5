#include "kernels/cuda/nvrtc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/nvrtcdir.h"

enum { OPTIONS_MAX = 64, ARCHS_MAX = 256 };

/* --- architectures -----------------------------------------------------------------------------
 */

static int known_archs(const struct cudalib *lib, int *archs) {
    int count = 0;
    if (lib->nvrtcGetNumSupportedArchs(&count) != NVRTC_SUCCESS || count < 1 || count > ARCHS_MAX ||
        lib->nvrtcGetSupportedArchs(archs) != NVRTC_SUCCESS)
        return 0;
    return count;
}

static bool unknown_arch(const struct cudalib *lib, const char *what, const int *archs, int count,
                         struct cuda_why *why) {
    char list[512] = "";
    size_t used = 0;
    for (int i = 0; i < count && used + 8 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, " sm_%d", archs[i]);
    return cuda_fail(why, "%s: NVRTC %d.%d compiles for%s, and compute_ with the same numbers",
                     what, lib->nvrtc_major, lib->nvrtc_minor, list);
}

/* "sm_80", "compute_90", "sm_90a": the number, or 0. */
static int arch_number(const char *arch) {
    const char *digits = strncmp(arch, "sm_", 3) == 0        ? arch + 3
                         : strncmp(arch, "compute_", 8) == 0 ? arch + 8
                                                             : "";
    char *end = NULL;
    long number = isdigit((unsigned char)*digits) ? strtol(digits, &end, 10) : 0;
    if (number < 10 || number > 9999 || !end)
        return 0;
    end += *end >= 'a' && *end <= 'z';
    return *end ? 0 : (int)number;
}

static bool knows(const int *archs, int count, int number) {
    for (int i = 0; i < count; i++)
        if (archs[i] == number)
            return true;
    return false;
}

bool nvrtc_arch(const struct cudalib *lib, const char *wanted, int capability, char *arch,
                size_t size, struct cuda_why *why) {
    int archs[ARCHS_MAX], count = known_archs(lib, archs);
    char what[128];
    if (*wanted) {
        snprintf(what, sizeof what, "arch=%.64s", wanted);
        if (!knows(archs, count, arch_number(wanted)))
            return unknown_arch(lib, what, archs, count, why);
        snprintf(arch, size, "%s", wanted);
        return true;
    }
    if (knows(archs, count, capability)) {
        snprintf(arch, size, "sm_%d", capability);
        return true;
    }
    /* A newer card runs the PTX of an older one, and no card that of a newer one. */
    int best = 0;
    for (int i = 0; i < count; i++)
        best = archs[i] < capability && archs[i] > best ? archs[i] : best;
    snprintf(what, sizeof what, "the card has compute capability %d.%d", capability / 10,
             capability % 10);
    if (!best)
        return unknown_arch(lib, what, archs, count, why);
    snprintf(arch, size, "compute_%d", best);
    return true;
}

/* --- options -----------------------------------------------------------------------------------
 */

struct options {
    const char *list[OPTIONS_MAX];
    int count;
    char *words;
    char arch[64], include[4096 + 32], own[4096 + 32];
};

/* The caller's come last, so that theirs count. False: too many, or no memory. */
static bool gather(const struct cudalib *lib, const struct nvrtc_request *request,
                   struct options *options) {
    char dir[4096];
    *options = (struct options){.count = 0};
    snprintf(options->arch, sizeof options->arch, "--gpu-architecture=%s", request->arch);
    options->list[options->count++] = options->arch;
    if (request->dir) {
        snprintf(options->own, sizeof options->own, "--include-path=%s", request->dir);
        options->list[options->count++] = options->own;
    }
    if (cudalib_include_dir(lib, dir, sizeof dir)) {
        snprintf(options->include, sizeof options->include, "--include-path=%s", dir);
        options->list[options->count++] = options->include;
    }
    options->words = strdup(request->options);
    char *state = NULL;
    char *word = options->words ? strtok_r(options->words, " \t\n", &state) : NULL;
    for (; word; word = strtok_r(NULL, " \t\n", &state)) {
        if (options->count == OPTIONS_MAX)
            return false;
        options->list[options->count++] = word;
    }
    return options->words != NULL;
}

/* --- compiling ---------------------------------------------------------------------------------
 */

static char *read_log(struct cudalib *lib, nvrtc_handle handle) {
    size_t bytes = 0;
    if (lib->nvrtcGetProgramLogSize(handle, &bytes) != NVRTC_SUCCESS)
        return NULL;
    char *log = calloc(1, bytes + 1);
    if (log && lib->nvrtcGetProgramLog(handle, log) != NVRTC_SUCCESS)
        *log = '\0';
    return log;
}

/* What NVRTC made, of one kind; NULL when there is none of it. A NUL is put after it. */
static char *take(nvrtc_handle handle, int (*size_of)(nvrtc_handle, size_t *),
                  int (*get)(nvrtc_handle, char *), size_t *bytes) {
    *bytes = 0;
    if (size_of(handle, bytes) != NVRTC_SUCCESS || *bytes < 2)
        return NULL;
    char *made = calloc(1, *bytes + 1);
    if (!made || get(handle, made) == NVRTC_SUCCESS)
        return made;
    free(made);
    return NULL;
}

static enum nvrtc_result say_wrong(const struct cudalib *lib, const struct nvrtc_request *request,
                                   int code, const char *log, struct cuda_why *why) {
    char line[512] = "", names[512];
    if (log)
        nvrtc_first_error(log, line, sizeof line);
    if (strncmp(line, "__nv_name_map", 13) == 0) { /* where NVRTC looks the kernel's name up */
        nvrtc_kernels_of(request->source, names, sizeof names);
        cuda_fail(why, "%s: there is no kernel %s; %s%s", request->name, request->kernel,
                  *names ? "it has: " : "it has no __global__ function", names);
        return NVRTC_WRONG;
    }
    const char *error = lib->nvrtcGetErrorString(code);
    cuda_fail(why, "%s: does not compile for %s with NVRTC %d.%d: %s", request->name, request->arch,
              lib->nvrtc_major, lib->nvrtc_minor, *line ? line : error);
    return code == NVRTC_ERROR_COMPILATION || code == NVRTC_ERROR_INVALID_OPTION ? NVRTC_WRONG
                                                                                 : NVRTC_FAILED;
}

static enum nvrtc_result failed(const struct cudalib *lib, const char *what, int code,
                                struct cuda_why *why) {
    cuda_fail(why, "%s: %s", what, lib->nvrtcGetErrorString(code));
    return NVRTC_FAILED;
}

/* The kernel's name in what was made, and its parameters by the PTX, which some versions of NVRTC
 * give with machine code too. */
static enum nvrtc_result describe(struct cudalib *lib, nvrtc_handle handle,
                                  const struct nvrtc_request *request, const char *ptx,
                                  struct nvrtc_program *program, struct cuda_why *why) {
    const char *lowered = "";
    if (request->kernel) {
        int code = lib->nvrtcGetLoweredName(handle, request->kernel, &lowered);
        if (code != NVRTC_SUCCESS)
            return failed(lib, "nvrtcGetLoweredName", code, why);
        if (!ptx_params(ptx, lowered, program->params, &program->count)) {
            cuda_fail(why,
                      "%s: the parameters of %s are not understood (at most %d numbers, pointers "
                      "and structs)",
                      request->name, request->kernel, PTX_PARAMS_MAX);
            return NVRTC_WRONG;
        }
    }
    program->lowered = strdup(lowered);
    return program->lowered ? NVRTC_OK : NVRTC_FAILED;
}

static enum nvrtc_result compile_handle(struct cudalib *lib, nvrtc_handle handle,
                                        const struct nvrtc_request *request,
                                        const struct options *options,
                                        struct nvrtc_program *program, char **log,
                                        struct cuda_why *why) {
    size_t ptx_bytes = 0;
    if (request->kernel) {
        int code = lib->nvrtcAddNameExpression(handle, request->kernel);
        if (code != NVRTC_SUCCESS)
            return failed(lib, "nvrtcAddNameExpression", code, why);
    }
    int code = lib->nvrtcCompileProgram(handle, options->count, options->list);
    char *text = read_log(lib, handle);
    if (code != NVRTC_SUCCESS) {
        *log = text;
        return say_wrong(lib, request, code, text, why);
    }
    program->log = text;
    char *ptx = take(handle, lib->nvrtcGetPTXSize, lib->nvrtcGetPTX, &ptx_bytes);
    bool machine = strncmp(request->arch, "sm_", 3) == 0;
    program->image =
        machine ? take(handle, lib->nvrtcGetCUBINSize, lib->nvrtcGetCUBIN, &program->image_bytes)
                : ptx;
    if (!machine)
        program->image_bytes = ptx ? strlen(ptx) : 0;
    enum nvrtc_result result = NVRTC_OK;
    if (!program->image) {
        cuda_fail(why, "%s: NVRTC made no code for %s", request->name, request->arch);
        result = NVRTC_FAILED;
    } else if (ptx || !request->kernel) {
        result = describe(lib, handle, request, ptx ? ptx : "", program, why);
    }
    if (machine)
        free(ptx);
    return result;
}

static enum nvrtc_result compile(struct cudalib *lib, const struct nvrtc_request *request,
                                 struct nvrtc_program *program, char **log, struct cuda_why *why) {
    struct options options;
    nvrtc_handle handle = NULL;
    enum nvrtc_result result = NVRTC_FAILED;
    if (!gather(lib, request, &options)) {
        cuda_fail(why, "more than %d options", OPTIONS_MAX);
        free(options.words);
        return NVRTC_WRONG;
    }
    int code = lib->nvrtcCreateProgram(&handle, request->source, request->name, 0, NULL, NULL);
    if (code == NVRTC_SUCCESS) {
        result = compile_handle(lib, handle, request, &options, program, log, why);
        lib->nvrtcDestroyProgram(&handle);
    } else
        failed(lib, "nvrtcCreateProgram", code, why);
    free(options.words);
    return result;
}

static void free_program(struct nvrtc_program *program) {
    free(program->key);
    free(program->image);
    free(program->lowered);
    free(program->log);
    free(program);
}

/* Compiles, and once more as PTX for the parameters alone when NVRTC gave no PTX with its code. */
static enum nvrtc_result make(struct cudalib *lib, const struct nvrtc_request *request,
                              struct nvrtc_program *program, char **log, struct cuda_why *why) {
    enum nvrtc_result result = compile(lib, request, program, log, why);
    if (result != NVRTC_OK || program->lowered)
        return result;
    char arch[64];
    snprintf(arch, sizeof arch, "compute_%s", request->arch + 3);
    struct nvrtc_request virtual = *request;
    virtual.arch = arch;
    struct nvrtc_program *other = calloc(1, sizeof *other);
    if (!other)
        return NVRTC_FAILED;
    result = compile(lib, &virtual, other, log, why);
    if (result == NVRTC_OK) {
        program->lowered = other->lowered;
        other->lowered = NULL;
        program->count = other->count;
        memcpy(program->params, other->params, sizeof program->params);
    }
    free_program(other);
    return result;
}

/* --- keeping -----------------------------------------------------------------------------------
 */

static bool make_key(const struct cudalib *lib, const struct nvrtc_request *request,
                     struct nvrtc_program *program) {
    FILE *file = open_memstream(&program->key, &program->key_bytes);
    if (!file)
        return false;
    fprintf(file, "%d.%d%c%s%c%s%c%s%c%s%c%s", lib->nvrtc_major, lib->nvrtc_minor, 0, request->arch,
            0, request->options, 0, request->kernel ? request->kernel : "", 0, request->name, 0,
            request->source);
    return fclose(file) == 0 && program->key;
}

static void forget(struct nvrtc_kept *kept, struct nvrtc_program **at) {
    struct nvrtc_program *program = *at;
    *at = program->next;
    if (kept->forget)
        kept->forget(kept->arg, program);
    free_program(program);
}

void nvrtc_forget_all(struct nvrtc_kept *kept) {
    while (kept->first)
        forget(kept, &kept->first);
}

/* Takes out what has the same key, and what is too old. */
static struct nvrtc_program *look(struct nvrtc_kept *kept, const struct nvrtc_program *like) {
    struct nvrtc_program *found = NULL;
    int count = 0;
    for (struct nvrtc_program **at = &kept->first; *at;) {
        struct nvrtc_program *program = *at;
        if (program->key_bytes == like->key_bytes &&
            memcmp(program->key, like->key, like->key_bytes) == 0) {
            *at = program->next;
            found = program;
        } else if (++count >= NVRTC_KEPT_MAX)
            forget(kept, at);
        else
            at = &program->next;
    }
    return found;
}

static void put_first(struct nvrtc_kept *kept, struct nvrtc_program *program) {
    program->next = kept->first;
    kept->first = program;
}

enum nvrtc_result nvrtc_get(struct cudalib *lib, struct nvrtc_kept *kept,
                            const struct nvrtc_request *request, const char *cache_dir,
                            struct nvrtc_program **program, enum nvrtc_origin *origin, char **log,
                            struct cuda_why *why) {
    bool keepable = nvrtc_keepable(request->source, request->options);
    struct nvrtc_program *mine = calloc(1, sizeof *mine);
    *log = NULL;
    if (!mine || !make_key(lib, request, mine)) {
        cuda_fail(why, "out of memory");
        if (mine)
            free_program(mine);
        return NVRTC_FAILED;
    }
    struct nvrtc_program *found = look(kept, mine);
    if (found && keepable) {
        free_program(mine);
        put_first(kept, found);
        *program = found;
        *origin = NVRTC_KEPT;
        return NVRTC_OK;
    }
    if (found) { /* it may include a file that has changed */
        put_first(kept, found);
        forget(kept, &kept->first);
    }
    enum nvrtc_result result = NVRTC_OK;
    *origin = NVRTC_COMPILED;
    if (keepable && cache_dir && nvrtcdir_read(cache_dir, mine))
        *origin = NVRTC_FROM_DIR;
    else
        result = make(lib, request, mine, log, why);
    if (result != NVRTC_OK) {
        free_program(mine);
        return result;
    }
    if (*origin == NVRTC_COMPILED && keepable && cache_dir)
        nvrtcdir_write(cache_dir, mine); /* what cannot be kept is compiled again */
    put_first(kept, mine);
    *program = mine;
    return NVRTC_OK;
}
