#pragma once
// The operations of V and VD. vec_ops.cpp compiles the list once per instruction set, vec_test.cpp compares
// with the standard library: X(name, on vectors a b c, on numbers a b c).
#include <cstddef>

// clang-format off
#define FO_VEC_OPS(X)                                                        \
  X(copy, a, a)                                                              \
  X(add, a + b, a + b)                                                       \
  X(sub, a - b, a - b)                                                       \
  X(mul, a * b, a * b)                                                       \
  X(div, a / b, a / b)                                                       \
  X(fma, fma(a, b, c), std::fma(a, b, c))                                    \
  X(fnma, fnma(a, b, c), std::fma(-a, b, c))                                 \
  X(sqrt, sqrt(a), std::sqrt(a))                                             \
  X(max, max(a, b), a > b ? a : b)                                           \
  X(sign, sign(a), a != a ? a : Real((a > 0) - (a < 0)))                     \
  X(broadcast, fma(0.9f, a, 0.1f * b), std::fma(0.9f, a, 0.1f * b))          \
  /* A compiler may not fuse these: rounding twice is part of the result. */ \
  X(multiply_add, a * b + c, a * b + c)                                      \
  X(multiply_subtract, c - a * b, c - a * b)                                 \
  X(nothing_reassociated, (a + b) + (c - b), (a + b) + (c - b))
// clang-format on

namespace fo_test {

enum Op {
#define FO_OP_ENUM(name, vector, scalar) k_##name,
  FO_VEC_OPS(FO_OP_ENUM)
#undef FO_OP_ENUM
      kOps
};

// What one instruction set offers. Plain C, as the kernel tables: the files compiled per instruction set
// share no inline code with others.
template <class Real>
struct VecOps {
  size_t width;
  // out[i] = op(a[i], b[i], c[i]) for i < width, all with unaligned full loads and stores.
  void (*full[kOps])(const Real* a, const Real* b, const Real* c, Real* out);
  // The same for i < n <= width, with partial loads and stores.
  void (*part[kOps])(const Real* a, const Real* b, const Real* c, Real* out, size_t n);
  // A partial load, then a full store: the lanes beyond n are zero.
  void (*widen)(const Real* a, Real* out, size_t n);
  // A full load, its first n lanes, then a full store.
  void (*first)(const Real* a, Real* out, size_t n);
  // Running sums, and sums of squares, of one vector after the other: as many doubles as there are lanes.
  void (*sum)(const Real* a, size_t vectors, double* plain, double* squares);
};

struct VecTables {
  VecOps<float> floats;
  VecOps<double> doubles;
};

}  // namespace fo_test
