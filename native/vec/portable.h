#pragma once
// The one macro a rule needs: an always-inlined function, host or device.
#if defined(__CUDACC__)
#define FO_FN static __host__ __device__ __forceinline__
#elif defined(_MSC_VER)
#define FO_FN static __forceinline
#else
#define FO_FN static inline __attribute__((always_inline))
#endif
