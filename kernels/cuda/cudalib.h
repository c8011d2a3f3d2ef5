/*
 * cudalib.h - what is used of NVIDIA's libraries, opened with dlopen: the driver (libcuda), the
 * compiler NVRTC, and cuBLAS. Nothing of theirs is needed to build, and each is needed to run only
 * by what uses it: compiling needs no driver, a launch of a compiled program no NVRTC.
 *
 * The declarations are our own, after the published references of the C interfaces, and hold from
 * CUDA 11.2 to 13: a _v2 is part of a symbol's name and fixes its meaning, whatever newer one the
 * header's plain name stands for by now (cuEventElapsedTime is _v2 in CUDA 13; the old one stays).
 * cudart is not used.
 */
#ifndef DISTCOMP_KERNEL_CUDALIB_H
#define DISTCOMP_KERNEL_CUDALIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- why something failed ----------------------------------------------------------------------
 */

struct cuda_why {
    char text[1536]; /* one line, cut when it is longer; "" when nothing failed */
};
/* Sets the text; returns false, for `return cuda_fail(why, ...)`. */
bool cuda_fail(struct cuda_why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- types ---------------------------------------------------------------------------------------
 */

typedef int cu_device;
typedef unsigned long long cu_ptr; /* CUdeviceptr: 0 is no memory */
typedef struct cu_context_opaque *cu_context;
typedef struct cu_module_opaque *cu_module;
typedef struct cu_function_opaque *cu_function;
typedef struct cu_event_opaque *cu_event;
typedef struct cu_stream_opaque *cu_stream; /* NULL: the default one */
typedef struct nvrtc_opaque *nvrtc_handle;
typedef struct cublas_opaque *cublas_handle;

enum cu_result { /* CUresult */
                 CU_SUCCESS = 0,
                 CU_INVALID_VALUE = 1,
                 CU_OUT_OF_MEMORY = 2,
                 CU_NOT_INITIALIZED = 3,
                 CU_DEINITIALIZED = 4,
                 CU_STUB_LIBRARY = 34,
                 CU_NO_DEVICE = 100,
                 CU_INVALID_CONTEXT = 201,
                 CU_NO_BINARY_FOR_GPU = 209,
                 CU_ECC_UNCORRECTABLE = 214,
                 CU_NVLINK_UNCORRECTABLE = 220,
                 CU_UNSUPPORTED_PTX_VERSION = 222,
                 CU_CONTAINED = 226,
                 CU_NOT_FOUND = 500,
                 CU_NOT_READY = 600,
                 CU_ILLEGAL_ADDRESS = 700,
                 CU_LAUNCH_OUT_OF_RESOURCES = 701,
                 CU_LAUNCH_TIMEOUT = 702,
                 CU_CONTEXT_IS_DESTROYED = 709,
                 CU_ASSERT = 710,
                 CU_HARDWARE_STACK_ERROR = 714,
                 CU_ILLEGAL_INSTRUCTION = 715,
                 CU_MISALIGNED_ADDRESS = 716,
                 CU_INVALID_ADDRESS_SPACE = 717,
                 CU_INVALID_PC = 718,
                 CU_LAUNCH_FAILED = 719,
                 CU_TENSOR_MEMORY_LEAK = 721,
                 CU_MPS_CLIENT_TERMINATED = 810,
                 CU_EXTERNAL_DEVICE = 911,
                 CU_UNKNOWN = 999
};
enum cu_device_attribute {
    CU_DEVICE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_CAPABILITY_MINOR = 76,
    CU_DEVICE_MAX_SHARED_PER_BLOCK_OPTIN = 97
};
enum cu_function_attribute {
    CU_FUNCTION_MAX_THREADS_PER_BLOCK = 0,
    CU_FUNCTION_SHARED_BYTES = 1,
    CU_FUNCTION_MAX_DYNAMIC_SHARED_BYTES = 8
};

enum { /* nvrtcResult */
       NVRTC_SUCCESS = 0,
       NVRTC_ERROR_INVALID_OPTION = 5,
       NVRTC_ERROR_COMPILATION = 6,
       NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID = 10
};

enum { CUBLAS_STATUS_SUCCESS = 0 };
enum { CUBLAS_OP_N = 0 };
enum { CUBLAS_GEMM_DEFAULT = -1 };
enum { /* cublasComputeType_t, since CUDA 11 */
       CUBLAS_COMPUTE_32F = 68,
       CUBLAS_COMPUTE_64F = 70,
       CUBLAS_COMPUTE_32F_FAST_TF32 = 77
};
enum { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16F = 2, CUDA_R_16BF = 14 }; /* cudaDataType */

/* --- every symbol --------------------------------------------------------------------------------
 */

/* X(part, symbol, needed, result, arguments). Not needed ones are NULL where they are missing. */
#define CUDALIB_SYMBOLS(X)                                                                         \
    X(DRIVER, cuInit, 1, int, (unsigned int flags))                                                \
    X(DRIVER, cuDriverGetVersion, 1, int, (int *version))                                          \
    X(DRIVER, cuGetErrorName, 1, int, (int code, const char **name))                               \
    X(DRIVER, cuGetErrorString, 1, int, (int code, const char **text))                             \
    X(DRIVER, cuDeviceGetCount, 1, int, (int *count))                                              \
    X(DRIVER, cuDeviceGet, 1, int, (cu_device * device, int ordinal))                              \
    X(DRIVER, cuDeviceGetName, 1, int, (char *name, int size, cu_device device))                   \
    X(DRIVER, cuDeviceGetAttribute, 1, int, (int *value, int attribute, cu_device device))         \
    X(DRIVER, cuDevicePrimaryCtxRetain, 1, int, (cu_context * context, cu_device device))          \
    X(DRIVER, cuDevicePrimaryCtxRelease_v2, 1, int, (cu_device device))                            \
    X(DRIVER, cuCtxSetCurrent, 1, int, (cu_context context))                                       \
    X(DRIVER, cuMemGetInfo_v2, 1, int, (size_t * free, size_t * total))                            \
    X(DRIVER, cuMemAlloc_v2, 1, int, (cu_ptr * memory, size_t bytes))                              \
    X(DRIVER, cuMemFree_v2, 1, int, (cu_ptr memory))                                               \
    X(DRIVER, cuMemcpyHtoD_v2, 1, int, (cu_ptr to, const void *from, size_t bytes))                \
    X(DRIVER, cuMemcpyDtoH_v2, 1, int, (void *to, cu_ptr from, size_t bytes))                      \
    X(DRIVER, cuMemsetD8_v2, 1, int, (cu_ptr to, unsigned char value, size_t bytes))               \
    X(DRIVER, cuModuleLoadData, 1, int, (cu_module * module, const void *image))                   \
    X(DRIVER, cuModuleUnload, 1, int, (cu_module module))                                          \
    X(DRIVER, cuModuleGetFunction, 1, int,                                                         \
      (cu_function * function, cu_module module, const char *name))                                \
    X(DRIVER, cuFuncGetAttribute, 1, int, (int *value, int attribute, cu_function function))       \
    X(DRIVER, cuFuncSetAttribute, 1, int, (cu_function function, int attribute, int value))        \
    X(DRIVER, cuLaunchKernel, 1, int,                                                              \
      (cu_function function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,        \
       unsigned int block_x, unsigned int block_y, unsigned int block_z,                           \
       unsigned int shared_bytes, cu_stream stream, void **arguments, void **extra))               \
    X(DRIVER, cuEventCreate, 1, int, (cu_event * event, unsigned int flags))                       \
    X(DRIVER, cuEventDestroy_v2, 1, int, (cu_event event))                                         \
    X(DRIVER, cuEventRecord, 1, int, (cu_event event, cu_stream stream))                           \
    X(DRIVER, cuEventQuery, 1, int, (cu_event event))                                              \
    X(DRIVER, cuEventElapsedTime, 1, int, (float *ms, cu_event from, cu_event to))                 \
    X(NVRTC, nvrtcVersion, 1, int, (int *major, int *minor))                                       \
    X(NVRTC, nvrtcGetErrorString, 1, const char *, (int code))                                     \
    X(NVRTC, nvrtcGetNumSupportedArchs, 1, int, (int *count))                                      \
    X(NVRTC, nvrtcGetSupportedArchs, 1, int, (int *archs))                                         \
    X(NVRTC, nvrtcCreateProgram, 1, int,                                                           \
      (nvrtc_handle * program, const char *source, const char *name, int headers,                  \
       const char *const *texts, const char *const *include_names))                                \
    X(NVRTC, nvrtcDestroyProgram, 1, int, (nvrtc_handle * program))                                \
    X(NVRTC, nvrtcAddNameExpression, 1, int, (nvrtc_handle program, const char *name))             \
    X(NVRTC, nvrtcGetLoweredName, 1, int,                                                          \
      (nvrtc_handle program, const char *name, const char **lowered))                              \
    X(NVRTC, nvrtcCompileProgram, 1, int,                                                          \
      (nvrtc_handle program, int count, const char *const *options))                               \
    X(NVRTC, nvrtcGetProgramLogSize, 1, int, (nvrtc_handle program, size_t * bytes))               \
    X(NVRTC, nvrtcGetProgramLog, 1, int, (nvrtc_handle program, char *log))                        \
    X(NVRTC, nvrtcGetPTXSize, 1, int, (nvrtc_handle program, size_t * bytes))                      \
    X(NVRTC, nvrtcGetPTX, 1, int, (nvrtc_handle program, char *ptx))                               \
    X(NVRTC, nvrtcGetCUBINSize, 1, int, (nvrtc_handle program, size_t * bytes))                    \
    X(NVRTC, nvrtcGetCUBIN, 1, int, (nvrtc_handle program, char *cubin))                           \
    X(CUBLAS, cublasCreate_v2, 1, int, (cublas_handle * handle))                                   \
    X(CUBLAS, cublasDestroy_v2, 1, int, (cublas_handle handle))                                    \
    X(CUBLAS, cublasGetVersion_v2, 1, int, (cublas_handle handle, int *version))                   \
    X(CUBLAS, cublasGetStatusString, 0, const char *, (int status)) /* since 11.4.2 */             \
    X(CUBLAS, cublasGemmEx, 1, int,                                                                \
      (cublas_handle handle, int op_a, int op_b, int m, int n, int k, const void *alpha,           \
       const void *a, int type_a, int lda, const void *b, int type_b, int ldb, const void *beta,   \
       void *c, int type_c, int ldc, int compute, int algorithm))

enum cudalib_part { CUDALIB_DRIVER, CUDALIB_NVRTC, CUDALIB_CUBLAS, CUDALIB_PARTS };

/* Zeroed: nothing is open. */
struct cudalib {
    void *handle[CUDALIB_PARTS];   /* NULL: not open */
    char file[CUDALIB_PARTS][256]; /* where it was found, as the loader says */
    int driver_version;            /* 13000 for a driver of CUDA 13.0; 0: not open */
    int nvrtc_major, nvrtc_minor;
#define X(part, symbol, needed, result, arguments) result(*symbol) arguments;
    CUDALIB_SYMBOLS(X)
#undef X
};

/*
 * Opens a part; does nothing when it is open. Looked for by the loader (LD_LIBRARY_PATH, ldconfig)
 * and then in lib64 and lib of $CUDA_PATH, without that of /usr/local/cuda; the newest version
 * first, but with a driver open none of a newer major version than the driver's when an older one
 * is there. DRIVER is initialised (cuInit) too.
 *
 * False, with why: what is missing, what it is for, where it was looked for, what to do. It may be
 * asked again. Libraries are never closed: NVIDIA's do not stand it.
 */
bool cudalib_open(struct cudalib *lib, enum cudalib_part part, struct cuda_why *why);

/* The include directory of the toolkit that NVRTC came with, where cuda_fp16.h is. False: there is
 * none. */
bool cudalib_include_dir(const struct cudalib *lib, char *dir, size_t size);

#endif
