// The stand-in's products, against sums in double and against what each type can hold.
#include <cmath>

#include "../../../native/vec/convert.h"
#include "gpu.h"

namespace fo_test {
namespace {

using fo::cuda::Device;
using fo::cuda::device;
using fo::cuda::Gemm;
using fo::cuda::GemmType;
namespace stand_in = fo::cuda::stand_in;

// Small whole numbers, exact in every type.
std::vector<float> whole_numbers(size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (float& value : values) value = float(int((seed = seed * 1664525 + 1013904223) >> 28) - 8);
  return values;
}

// op(A) op(B) of whole numbers in every type and transposition, with leading dimensions and strides to spare.
template <class T>
void whole(GemmType type, const std::function<T(float)>& to, const std::function<float(T)>& from) {
  Device& gpu = device(0);
  const int m = 5, n = 3, k = 7, batch = 2;
  for (int flags = 0; flags < 4; ++flags) {
    const bool transpose_a = flags & 1, transpose_b = flags & 2;
    const int64_t lda = (transpose_a ? k : m) + 2, ldb = (transpose_b ? n : k) + 1, ldc = m + 3;
    const int64_t stride_a = lda * 8, stride_b = ldb * 8, stride_c = ldc * n + 4;
    auto stored = [&](const std::vector<float>& values) {
      std::vector<T> all;
      for (float value : values) all.push_back(to(value));
      return all;
    };
    const auto a = whole_numbers(stride_a * batch, 1), b = whole_numbers(stride_b * batch, 2),
               c = whole_numbers(stride_c * batch, 3);
    OwnStream stream(gpu);
    const Buffer<T> a_data(gpu, stored(a)), b_data(gpu, stored(b)), c_data(gpu, stored(c));
    gpu.gemm({type, transpose_a, transpose_b, m, n, k, 2, -1, a_data.data, lda, stride_a, b_data.data, ldb,
              stride_b, c_data.data, ldc, stride_c, batch},
             stream.handle);
    const auto got = c_data.read(stream.handle);
    std::vector<float> expected = c;
    for (int z = 0; z < batch; ++z)
      for (int j = 0; j < n; ++j)
        for (int i = 0; i < m; ++i) {
          float sum = 0;
          for (int l = 0; l < k; ++l)
            sum += a[z * stride_a + (transpose_a ? l + i * lda : i + l * lda)] *
                   b[z * stride_b + (transpose_b ? j + l * ldb : l + j * ldb)];
          float& cell = expected[z * stride_c + i + j * ldc];
          cell = from(to(2 * sum - cell));
        }
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT(from(got[i]) == expected[i], "at %zu with flags %d: %g, not %g", i, flags, from(got[i]),
             expected[i]);
  }
}

// The one number of a 1 x 1 product over k terms of a and b.
template <class T>
T dot(GemmType type, const std::vector<T>& a, const std::vector<T>& b, float alpha = 1) {
  Device& gpu = device(0);
  OwnStream stream(gpu);
  const Buffer<T> a_data(gpu, a), b_data(gpu, b), c(gpu, 1);  // C is NaN: with beta 0 it is not read
  const int k = int(a.size());
  gpu.gemm({type, true, false, 1, 1, k, alpha, 0, a_data.data, k, 0, b_data.data, k, 0, c.data, 1, 0, 1},
           stream.handle);
  return c.read(stream.handle)[0];
}

}  // namespace

SUITE(test_products) {
  test("products of whole numbers in every type, transposition and layout", [] {
    const std::function<float(float)> same = [](float x) { return x; };
    whole<float>(GemmType::kF32, same, same);
    whole<float>(GemmType::kTf32, same, same);
    whole<uint16_t>(GemmType::kBf16, fo::to_bf16, fo::from_bf16);
    whole<uint16_t>(GemmType::kF16, fo::to_f16, fo::from_f16);
  });

  test("operands and results round as the type says, sums in float32", [] {
    // 2^24 + 1 + 1 stays 2^24 in float32.
    EXPECT(dot<float>(GemmType::kF32, {16777216, 1, 1}, {1, 1, 1}) == 16777216, "f32 sums");
    // Products are not rounded by themselves: (1 + 2^-23)^2 - 1 - 2^-22 = 2^-46.
    const float next = 1 + std::ldexp(1.0f, -23);
    const float fused = dot<float>(GemmType::kF32, {-1 - std::ldexp(1.0f, -22), next}, {1, next});
    EXPECT(fused == std::ldexp(1.0f, -46), "%g", fused);
    // tf32 keeps 10 bits: 1 + 2^-11 goes up to 1 + 2^-10, 1 + 2^-12 down to 1.
    const float up = dot<float>(GemmType::kTf32, {1 + std::ldexp(1.0f, -11)}, {1});
    EXPECT(up == 1 + std::ldexp(1.0f, -10), "%.9g", up);
    EXPECT(dot<float>(GemmType::kTf32, {1 + std::ldexp(1.0f, -12)}, {1}) == 1, "tf32 down");
    // 1 + 2^-8 lies between two bfloat16; the even one is 1.
    const uint16_t one = fo::to_bf16(1), small = fo::to_bf16(std::ldexp(1.0f, -8));
    EXPECT(dot<uint16_t>(GemmType::kBf16, {one, small}, {one, one}) == one, "bf16 result");
    const uint16_t three = dot<uint16_t>(GemmType::kBf16, {one, small, small}, {one, one, one});
    EXPECT(fo::from_bf16(three) == 1 + std::ldexp(1.0f, -7), "%g", fo::from_bf16(three));
    // float16 overflows to infinity.
    const uint16_t big = fo::to_f16(60000);
    EXPECT(
        std::isinf(fo::from_f16(dot<uint16_t>(GemmType::kF16, {big, big}, {fo::to_f16(1), fo::to_f16(1)}))),
        "f16 overflow");
    EXPECT(dot<float>(GemmType::kF32, {3}, {4}, 0.5f) == 6, "alpha");
  });

  test("products wait in their stream and are counted; shapes that cannot be are refused", [] {
    stand_in::reset_counters();
    dot<float>(GemmType::kF32, {1}, {1});
    EXPECT(stand_in::counters().gemms == 1, "%d", int(stand_in::counters().gemms));
    const Gemm bad = {GemmType::kF32, false, false, 4,       1, 1, 1, 0, nullptr, 3, 0,
                      nullptr,        1,     0,     nullptr, 4, 0, 1};
    EXPECT(fault_of([&] { device(0).gemm(bad, nullptr); }).name == "CUBLAS_STATUS_INVALID_VALUE", "lda");
    stand_in::fail("cublasGemmStridedBatchedEx:1");
    EXPECT(fault_of([&] { dot<float>(GemmType::kF32, {1}, {1}); }).code == 13, "planned");
  });
}

}  // namespace fo_test
