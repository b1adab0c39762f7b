#pragma once
// The one macro a rule needs: an always-inlined function, host or device. FO_INLINE, after the parameters of
// a lambda, does the same for it.
#if defined(__CUDACC__)
#define FO_FN static __host__ __device__ __forceinline__
#define FO_INLINE
#elif defined(_MSC_VER)
#define FO_FN static __forceinline
#define FO_INLINE
#else
#define FO_FN static inline __attribute__((always_inline))
#define FO_INLINE __attribute__((always_inline))
#endif
