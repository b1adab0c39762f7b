#pragma once
// The plain-C face of the matrix kernels, which native/cpu/gemm.cpp compiles once per instruction set.
// Includes nothing of ours, for the reason given in native/core/kernel.h.
#include <cstddef>
#include <cstdint>

namespace fo {

// Factors are packed into panels: of A, `rows` rows of it; of B, `columns` columns. A panel holds, for each
// index k, its elements side by side, and zeros beyond the edge. The panels of the first kGemmDepth indices
// k come first, then those of the next, so a factor takes round_up(m, rows) * k floats.
//
// Sums start from zero in each such block, go up in k by fused multiply-add, and one addition a block joins
// them: the same for every element, instruction set and division into tiles. The depth is such that a panel
// of B stays in a first-level cache of 32 KiB while panels of A pass through.
constexpr int64_t kGemmDepth = 320;

// A factor to pack: element (i, k) lies at in[i * stride + k * depth_stride].
struct GemmPanels {
  float* out;
  const float* in;
  int64_t stride, depth_stride;
  int64_t count, depth;
};

// C = alpha A B + beta D of packed A and B; d may be null where beta is 0.
struct GemmTile {
  const float *a, *b, *d;
  float* c;
  int64_t c_stride, d_stride;
  int64_t m, n, k;
  float alpha, beta;
  bool symmetric;  // compute the lower triangle and mirror it
  bool round;      // the result to bfloat16
};

// One arithmetic: float32; bfloat16 emulated; bfloat16 by the CPU's own instruction.
struct GemmPath {
  // Packs the panels [begin, end).
  void (*pack_a)(const GemmPanels& panels, int64_t begin, int64_t end);
  void (*pack_b)(const GemmPanels& panels, int64_t begin, int64_t end);
  // Computes rows [i0, i1) of columns [j0, j1); both begin at a panel's first.
  void (*tile)(const GemmTile& tile, int64_t i0, int64_t i1, int64_t j0, int64_t j1);
};

struct GemmKernels {
  int64_t rows, columns;  // of a panel of A and of B
  GemmPath f32, bf16;
  GemmPath bf16_native;  // null where there is none; only for a CPU with AVX512-BF16
};

}  // namespace fo
