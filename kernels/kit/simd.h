/*
 * simd.h - functions that are compiled for several kinds of CPU.
 */
#ifndef DISTCOMP_KIT_SIMD_H
#define DISTCOMP_KIT_SIMD_H

/* Compiled twice, and chosen when the library is loaded; sanitizers are not ready that early. Such
 * functions are written with vectors of 32 bytes, which the compiler halves where it has to. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SIMD_CLONES __attribute__((target_clones("avx2", "default")))
/* And for vectors of 64 bytes, where SIMD_IS_WIDE at run time. */
#define SIMD_WIDE    __attribute__((target("avx512f,avx512dq,prefer-vector-width=512")))
#define SIMD_IS_WIDE (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
#else
#define SIMD_CLONES
#endif

/* What is called in a loop of such a function, so that it is compiled with it. */
#define SIMD_INLINE static inline __attribute__((always_inline))

#endif
