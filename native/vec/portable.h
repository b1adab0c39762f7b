#pragma once
// The macros a rule needs. FO_FN: an always-inlined function, host or device. FO_HD: one for either that is
// called once a step. FO_INLINE, after the parameters of a lambda, inlines it always.
#if defined(__CUDACC__)
#define FO_FN static __host__ __device__ __forceinline__
#define FO_HD static __host__ __device__ inline
#define FO_MEMBER __host__ __device__ __forceinline__
#define FO_INLINE
#elif defined(_MSC_VER)
#define FO_FN static __forceinline
#define FO_HD static inline
#define FO_MEMBER __forceinline
#define FO_INLINE
#else
#define FO_FN static inline __attribute__((always_inline))
#define FO_HD static inline
#define FO_MEMBER inline __attribute__((always_inline))
#define FO_INLINE __attribute__((always_inline))
#endif
