#pragma once
// One lane of a GPU: what a thread computes an element in. The same bits as scalar.h; as host code too, so
// that kernels run without a GPU.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "portable.h"

// On the device the operations that round once have names of their own: no option of the compiler can
// replace or fuse them.
#if defined(__CUDA_ARCH__)
#define FO_ON_DEVICE(device, host) device
#else
#define FO_ON_DEVICE(device, host) host
#endif

namespace lane {

FO_FN float add(float a, float b) { return FO_ON_DEVICE(__fadd_rn(a, b), a + b); }
FO_FN float multiply(float a, float b) { return FO_ON_DEVICE(__fmul_rn(a, b), a * b); }
FO_FN float divide(float a, float b) { return FO_ON_DEVICE(__fdiv_rn(a, b), a / b); }
FO_FN float fused(float a, float b, float c) {
  return FO_ON_DEVICE(__fmaf_rn(a, b, c), __builtin_fmaf(a, b, c));
}
FO_FN float root(float a) { return FO_ON_DEVICE(__fsqrt_rn(a), __builtin_sqrtf(a)); }

FO_FN double add(double a, double b) { return FO_ON_DEVICE(__dadd_rn(a, b), a + b); }
FO_FN double multiply(double a, double b) { return FO_ON_DEVICE(__dmul_rn(a, b), a * b); }
FO_FN double divide(double a, double b) { return FO_ON_DEVICE(__ddiv_rn(a, b), a / b); }
FO_FN double fused(double a, double b, double c) {
  return FO_ON_DEVICE(__fma_rn(a, b, c), __builtin_fma(a, b, c));
}
FO_FN double root(double a) { return FO_ON_DEVICE(__dsqrt_rn(a), __builtin_sqrt(a)); }

// The operations are friends, not templates, for the same reason.
template <class T>
struct Lane {
  T x;
  Lane() = default;
  FO_MEMBER Lane(T a) : x(a) {}  // NOLINT(runtime/explicit): so that coefficients convert

  friend FO_MEMBER Lane operator+(Lane a, Lane b) { return add(a.x, b.x); }
  friend FO_MEMBER Lane operator-(Lane a, Lane b) { return add(a.x, -b.x); }
  friend FO_MEMBER Lane operator*(Lane a, Lane b) { return multiply(a.x, b.x); }
  friend FO_MEMBER Lane operator/(Lane a, Lane b) { return divide(a.x, b.x); }
  friend FO_MEMBER Lane fma(Lane a, Lane b, Lane c) { return fused(a.x, b.x, c.x); }
  friend FO_MEMBER Lane fnma(Lane a, Lane b, Lane c) { return fused(-a.x, b.x, c.x); }
  friend FO_MEMBER Lane sqrt(Lane a) { return root(a.x); }
  friend FO_MEMBER Lane max(Lane a, Lane b) { return a.x > b.x ? a : b; }
  friend FO_MEMBER Lane sign(Lane a) { return a.x != a.x ? a : Lane(T((a.x > 0) - (a.x < 0))); }
};

using V = Lane<float>;
using VD = Lane<double>;

FO_FN uint32_t magnitude_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u & 0x7fffffff;
}

// What comes out of an operation, and whether it may be wrong.
struct Guess {
  float x;
  bool bad;
};

#if defined(__CUDA_ARCH__)
// One or the other, without the branch around it that a compiler may make of `?:`.
FO_FN float choose(uint32_t zero, float where_zero, float elsewhere) {
  float x;
  asm("{ .reg .pred p; setp.eq.u32 p, %1, 0; selp.f32 %0, %2, %3, p; }"
      : "=f"(x)
      : "r"(zero), "f"(where_zero), "f"(elsewhere));
  return x;
}
#endif

// The steps that the compiler's own division and square root begin with. Where exponents leave room for what
// lies between them, they end in the number that is rounded once; elsewhere the compiler calls a longer way,
// and its branch keeps the elements of a thread from being computed at the same time.
FO_FN Guess guess_quotient(float a, float b) {
  const uint32_t above = magnitude_of(a), below = magnitude_of(b);
  const bool zero = above == 0;
  // |a| from 2^-100 to 2^86, or 0; |b| from 2^-40 to 2^24
  const bool bad = (!zero && above - 0x0d800000 >= 0x5d000000) || below - 0x2b800000 >= 0x20000000;
#if defined(__CUDA_ARCH__)
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(b));
  r = fused(r, fused(-b, r, 1.f), r);
  const float q = multiply(a, r);
  return {fused(r, choose(above, a, fused(-b, q, a)), q), bad};  // of a zero that is q + q, with its sign
#else
  return {divide(a, b), bad};
#endif
}
FO_FN Guess guess_root(float a) {
  const bool zero = a == 0;
  uint32_t bits;
  std::memcpy(&bits, &a, sizeof bits);
  const bool bad = !zero && bits - 0x0d000000 > 0x727fffff;  // below 2^-101, or not a positive number
#if defined(__CUDA_ARCH__)
  float r;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  r = choose(bits & 0x7fffffff, 0.f, r);  // infinite at zero, where y and what follows are a
  const float y = multiply(a, r);
  return {fused(fused(-y, y, a), multiply(r, .5f), y), bad};
#else
  return {root(a), bad};
#endif
}

// A lane that divides and takes roots in that way, and remembers where an exact one has to do it again.
struct Quick {
  float x;
  bool bad;
  Quick() = default;
  FO_MEMBER Quick(float a) : x(a), bad(false) {}  // NOLINT(runtime/explicit): so that coefficients convert
  FO_MEMBER Quick(float a, bool b) : x(a), bad(b) {}

  friend FO_MEMBER Quick operator+(Quick a, Quick b) { return {add(a.x, b.x), a.bad || b.bad}; }
  friend FO_MEMBER Quick operator-(Quick a, Quick b) { return {add(a.x, -b.x), a.bad || b.bad}; }
  friend FO_MEMBER Quick operator*(Quick a, Quick b) { return {multiply(a.x, b.x), a.bad || b.bad}; }
  friend FO_MEMBER Quick operator/(Quick a, Quick b) {
    const Guess q = guess_quotient(a.x, b.x);
    return {q.x, a.bad || b.bad || q.bad};
  }
  friend FO_MEMBER Quick fma(Quick a, Quick b, Quick c) {
    return {fused(a.x, b.x, c.x), a.bad || b.bad || c.bad};
  }
  friend FO_MEMBER Quick fnma(Quick a, Quick b, Quick c) {
    return {fused(-a.x, b.x, c.x), a.bad || b.bad || c.bad};
  }
  friend FO_MEMBER Quick sqrt(Quick a) {
    const Guess r = guess_root(a.x);
    return {r.x, a.bad || r.bad};
  }
  friend FO_MEMBER Quick max(Quick a, Quick b) { return {a.x > b.x ? a.x : b.x, a.bad || b.bad}; }
  friend FO_MEMBER Quick sign(Quick a) { return {sign(V(a.x)).x, a.bad}; }
};

}  // namespace lane

#undef FO_ON_DEVICE
