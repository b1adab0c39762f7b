#include "products.h"

#include <vector>

#include "../../vec/convert.h"

namespace fo::cuda::stand_in {
namespace {

// To the nearest with 10 bits of mantissa, ties away from zero, as the tensor cores' conversion does it.
float to_tf32(float x) {
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7f800000) == 0x7f800000) return x;
  return float_of((bits + 0x1000) & 0xffffe000);
}

float load(GemmType type, const void* memory, int64_t i) {
  switch (type) {
    case GemmType::kBf16:
      return from_bf16(static_cast<const uint16_t*>(memory)[i]);
    case GemmType::kF16:
      return from_f16(static_cast<const uint16_t*>(memory)[i]);
    case GemmType::kTf32:
      return to_tf32(static_cast<const float*>(memory)[i]);
    default:
      return static_cast<const float*>(memory)[i];
  }
}

// op(matrix), row by row.
std::vector<float> rows_of(GemmType type, const void* matrix, int64_t ld, int64_t base, bool transposed,
                           int rows, int columns) {
  std::vector<float> packed(size_t(rows) * columns);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j)
      packed[size_t(i) * columns + j] = load(type, matrix, base + (transposed ? j + i * ld : i + j * ld));
  return packed;
}

void store(const Gemm& gemm, int64_t i, float sum) {
  float result = gemm.alpha * sum;
  // With beta 0, C is written and never read.
  if (gemm.beta != 0) {
    const GemmType type = gemm.type == GemmType::kTf32 ? GemmType::kF32 : gemm.type;
    result += gemm.beta * load(type, gemm.c, i);
  }
  if (gemm.type == GemmType::kBf16) {
    static_cast<uint16_t*>(gemm.c)[i] = to_bf16(result);
  } else if (gemm.type == GemmType::kF16) {
    static_cast<uint16_t*>(gemm.c)[i] = to_f16(result);
  } else {
    static_cast<float*>(gemm.c)[i] = result;
  }
}

}  // namespace

void multiply(const Gemm& gemm) {
  const int m = gemm.m, n = gemm.n, k = gemm.k;
  for (int64_t batch = 0; batch < gemm.batch; ++batch) {
    const auto a = rows_of(gemm.type, gemm.a, gemm.lda, batch * gemm.stride_a, gemm.transpose_a, m, k);
    const auto b = rows_of(gemm.type, gemm.b, gemm.ldb, batch * gemm.stride_b, !gemm.transpose_b, n, k);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        // One rounding a term: the product is exact in double.
        float sum = 0;
        for (int l = 0; l < k; ++l)
          sum = float(double(sum) + double(a[size_t(i) * k + l]) * b[size_t(j) * k + l]);
        store(gemm, batch * gemm.stride_c + i + j * gemm.ldc, sum);
      }
    }
  }
}

}  // namespace fo::cuda::stand_in
