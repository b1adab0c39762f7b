// Matrix products: packing, and the kernel that multiplies a panel of A by a panel of B in registers.
// Compiled once per instruction set, under the rules at the top of kernels.cpp.
#include "gemm.h"

#include <cstring>

#include "../vec/bf16.h"
#include "../vec/chosen.h"

namespace {

using fo::GemmPanels;
using fo::GemmPath;
using fo::GemmTile;
using fo::kGemmDepth;
using FO_ISA::V;

// As many sums as registers hold beside a row of B and an element of A.
constexpr int kRows = V::N == 1 ? 4 : V::N == 8 ? 6 : 14;
constexpr int kVectors = V::N == 1 ? 4 : 2;
constexpr int kLanes = int(V::N);
constexpr int kColumns = kVectors * kLanes;

FO_FN int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
FO_FN int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

FO_FN void round_bf16(float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = fo::round_bf16(x[i]);
}

// ---- Packing

template <int kWidth>
FO_FN void pack_panel(float* out, const float* in, int64_t stride, int64_t depth_stride, int64_t width,
                      int64_t depth) {
  if (width < kWidth) {
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t i = 0; i < kWidth; ++i)
        out[k * kWidth + i] = i < width ? in[i * stride + k * depth_stride] : 0.f;
  } else if (stride == 1) {
    for (int64_t k = 0; k < depth; ++k) std::memcpy(out + k * kWidth, in + k * depth_stride, 4 * kWidth);
  } else {
    // A cache line of each row at a time.
    for (int64_t k0 = 0; k0 < depth; k0 += 16)
      for (int64_t i = 0; i < kWidth; ++i)
        for (int64_t k = k0; k < least(depth, k0 + 16); ++k)
          out[k * kWidth + i] = in[i * stride + k * depth_stride];
  }
}

template <int kWidth, class Arithmetic>
void pack(const GemmPanels& p, int64_t begin, int64_t end) {
  const int64_t padded = round_up(p.count, kWidth);
  for (int64_t k0 = 0; k0 < p.depth; k0 += kGemmDepth) {
    const int64_t depth = least(kGemmDepth, p.depth - k0);
    for (int64_t i = begin * kWidth; i < end * kWidth; i += kWidth) {
      float* const out = p.out + k0 * padded + i * depth;
      pack_panel<kWidth>(out, p.in + i * p.stride + k0 * p.depth_stride, p.stride, p.depth_stride,
                         least(kWidth, p.count - i), depth);
      Arithmetic::convert(out, kWidth, depth);
    }
  }
}

// ---- Arithmetics

struct Sums {
  V x[kRows][kVectors];
};

// Adds the products at one index k.
FO_FN void add_products(Sums& sums, const float* a, const float* b) {
  V row[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) row[v] = V::load(b + v * kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const V factor(a[i]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums.x[i][v] = fma(factor, row[v], sums.x[i][v]);
  }
}

FO_FN void clear(Sums& sums) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums.x[i][v] = V(0.f);
}

struct F32 {
  FO_FN void convert(float*, int64_t, int64_t) {}
  FO_FN void multiply(Sums& sums, const float* a, const float* b, int64_t depth) {
    clear(sums);
#pragma GCC unroll 4
    for (int64_t k = 0; k < depth; ++k) add_products(sums, a + k * kRows, b + k * kColumns);
  }
};

// bfloat16 values in float32. The product of two is exact, so a fused multiply-add rounds once, as the CPU's
// own instruction does; like it, this takes the second of two indices k first. Only that instruction's
// flushing of subnormal numbers to zero is not reproduced.
struct Bf16 {
  FO_FN void convert(float* panel, int64_t width, int64_t depth) { round_bf16(panel, width * depth); }
  FO_FN void multiply(Sums& sums, const float* a, const float* b, int64_t depth) {
    clear(sums);
    const int64_t even = depth & ~int64_t(1);
#pragma GCC unroll 4
    for (int64_t k = 0; k < even; ++k) add_products(sums, a + (k ^ 1) * kRows, b + (k ^ 1) * kColumns);
    if (even < depth) add_products(sums, a + even * kRows, b + even * kColumns);
  }
};

// Not where AVX-512 is emulated.
#if defined(__AVX512F__)
#define FO_BF16_NATIVE 1
// Pairs of bfloat16 at indices k and k + 1 in the place of floats, in the first half of each panel.
struct Bf16Native {
  FO_FN void convert(float* panel, int64_t width, int64_t depth) {
    for (int64_t k = 0; k < depth; k += 2) {
      for (int64_t i = 0; i < width; ++i) {
        const float* const first = panel + k * width + i;
        const uint32_t pair = fo::bf16_bits(*first) >> 16 | (k + 1 < depth ? fo::bf16_bits(first[width]) : 0);
        std::memcpy(panel + k / 2 * width + i, &pair, sizeof pair);
      }
    }
  }
  __attribute__((target("avx512bf16"), noinline)) static void multiply(Sums& sums, const float* a,
                                                                       const float* b, int64_t depth) {
    __m512 s[kRows][2];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) s[i][0] = s[i][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 2, a += kRows, b += kColumns) {
      const __m512bh left = (__m512bh)_mm512_loadu_ps(b), right = (__m512bh)_mm512_loadu_ps(b + 16);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const __m512bh factor = (__m512bh)_mm512_set1_ps(a[i]);
        s[i][0] = _mm512_dpbf16_ps(s[i][0], factor, left);
        s[i][1] = _mm512_dpbf16_ps(s[i][1], factor, right);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      sums.x[i][0] = V(s[i][0]);
      sums.x[i][1] = V(s[i][1]);
    }
  }
};
#endif

// ---- Results

// What to do with the sums of one block of indices k.
struct Finish {
  const float* added;  // null, or what joins them, times beta: D, or C from the second block on
  int64_t stride;
  float alpha, beta;
  bool round;
};

template <class... Count>
FO_FN void finish_vector(V sum, const Finish& f, const float* added, float* c, Count... n) {
  sum = added ? fma(V(f.alpha), sum, V(f.beta) * V::load(added, n...)) : V(f.alpha) * sum;
  V::store(c, sum, n...);
}

// Sums at an edge of C or of its lower triangle, as they lie in memory.
void finish_part(const float* sums, const GemmTile& t, const Finish& f, int64_t i0, int64_t j0) {
  for (int64_t i = i0; i < least(i0 + kRows, t.m); ++i, sums += kColumns) {
    const int64_t end = t.symmetric ? least(t.n, i + 1) : t.n;
    float* const c = t.c + i * t.c_stride;
    const float* const added = f.added ? f.added + i * f.stride : nullptr;
    for (int64_t j = j0; j < least(j0 + kColumns, end); j += kLanes)
      finish_vector(V::load(sums + j - j0), f, added ? added + j : nullptr, c + j,
                    size_t(least(kLanes, end - j)));
    if (f.round && end > j0) round_bf16(c + j0, least(kColumns, end - j0));
  }
}

FO_FN void finish_whole(const Sums& sums, const Finish& f, const float* added, float* c, int64_t c_stride) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      finish_vector(sums.x[i][v], f, added ? added + i * f.stride + v * kLanes : nullptr,
                    c + i * c_stride + v * kLanes);
  }
}

FO_FN void finish(const Sums& sums, const GemmTile& t, const Finish& f, int64_t i0, int64_t j0) {
  const bool inside = i0 + kRows <= t.m && j0 + kColumns <= t.n;
  if (!inside || (t.symmetric && j0 + kColumns > i0 + 1)) {
    float memory[kRows * kColumns];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) V::store(memory + i * kColumns + v * kLanes, sums.x[i][v]);
    }
    return finish_part(memory, t, f, i0, j0);
  }
  float* const c = t.c + i0 * t.c_stride + j0;
  if (f.added) {
    finish_whole(sums, f, f.added + i0 * f.stride + j0, c, t.c_stride);
  } else {
    finish_whole(sums, f, nullptr, c, t.c_stride);
  }
  if (f.round) {
    for (int i = 0; i < kRows; ++i) round_bf16(c + i * t.c_stride, kColumns);
  }
}

// The part of a tile below the diagonal into the upper triangle.
void mirror(const GemmTile& t, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  constexpr int64_t kBlock = 16;
  for (int64_t ib = i0; ib < i1; ib += kBlock)
    for (int64_t jb = j0; jb < least(j1, ib + kBlock); jb += kBlock)
      for (int64_t j = jb; j < least(j1, jb + kBlock); ++j)
        for (int64_t i = j >= ib ? j + 1 : ib; i < least(i1, ib + kBlock); ++i)
          t.c[j * t.c_stride + i] = t.c[i * t.c_stride + j];
}

template <class Arithmetic>
void tile(const GemmTile& t, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
  int64_t k0 = 0;
  do {
    const int64_t depth = least(kGemmDepth, t.k - k0);
    const bool last = k0 + depth == t.k;
    const Finish f = k0 ? Finish{t.c, t.c_stride, t.alpha, 1, t.round && last}
                        : Finish{t.beta != 0 ? t.d : nullptr, t.d_stride, t.alpha, t.beta, t.round && last};
    const float* const a = t.a + k0 * round_up(t.m, kRows);
    const float* const b = t.b + k0 * round_up(t.n, kColumns);
    for (int64_t j = j0; j < j1; j += kColumns) {
      for (int64_t i = i0; i < i1; i += kRows) {
        if (t.symmetric && j >= i + kRows) continue;
        Sums sums;
        Arithmetic::multiply(sums, a + i * depth, b + j * depth, depth);
        finish(sums, t, f, i, j);
      }
    }
    k0 += kGemmDepth;
  } while (k0 < t.k);
  if (t.symmetric) mirror(t, i0, i1, j0, j1);
}

template <class Arithmetic>
constexpr GemmPath path() {
  return {&pack<kRows, Arithmetic>, &pack<kColumns, Arithmetic>, &tile<Arithmetic>};
}

constexpr fo::GemmKernels kKernels = {kRows, kColumns, path<F32>(), path<Bf16>(),
#if defined(FO_BF16_NATIVE)
                                      path<Bf16Native>()
#else
                                      {}
#endif
};

}  // namespace

extern "C" const fo::GemmKernels* FO_JOIN(fo_gemm_, FO_ISA)() { return &kKernels; }
