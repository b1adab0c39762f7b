#pragma once
// Products of matrices, as an interface: the CPU implements it, and so can a GPU's library.
#include <cstddef>
#include <cstdint>

namespace fo {

enum class Precision : uint8_t {
  kF32,
  kBf16,        // factors rounded to bfloat16, sums in float32, the result rounded to bfloat16
  kBf16Inputs,  // the same with the sums as they are for a result
};

// Element (i, j) lies at data[i * row + j * column]: a transpose swaps the two.
struct Strides {
  int64_t row, column;
};

// C = alpha A B + beta D, with A m x k, B k x n, C and D m x n. All memory holds float32, in bfloat16
// precision too: values that a bfloat16 can hold. Rows of C and D are contiguous and `c` and `d` elements
// apart. C shares no memory with A and B; it may be D. D is not read where beta is 0.
struct Product {
  int64_t m, n, k;
  Strides a, b;
  int64_t c, d;
  float alpha = 1, beta = 0;
  // The caller knows that the result is symmetric. Only the lower triangle is computed, and of D read; C
  // gets both halves, equal bit for bit.
  bool symmetric = false;
  Precision precision = Precision::kF32;
};

// The memory of one product of a batch.
struct Factors {
  const float *a, *b, *d;
  float* c;
};

class Matmul {
 public:
  virtual ~Matmul() = default;
  // Memory, aligned to 64 bytes, that run() needs for `count` such products at once.
  virtual size_t scratch_bytes(const Product& product, size_t count) const = 0;
  virtual void run(const Product& product, const Factors* batch, size_t count, void* scratch) = 0;
  // What a multiplication takes, beside one in float32.
  virtual double cost(Precision precision) const = 0;
};

}  // namespace fo
