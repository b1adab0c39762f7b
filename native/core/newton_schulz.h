#pragma once
// Newton-Schulz iteration: moves the singular values of matrices towards one and keeps their singular vectors
// (Bjorck and Bowie 1971; as in Muon: Jordan 2024, kellerjordan.github.io/posts/muon).
//
//   X := X / max(|X|_F, eps);   per step, with A = X X^T:   X := a X + (b A + c A A) X
//
// and with A = X^T X on the other side for a matrix that has more rows than columns.
//
// The Gram form computes with the smaller square matrices alone, A := Z A Z and Q := Z Q for
// Z = a I + b A + c A A, and multiplies X by Q at the end. It keeps A and Q in float32 in either precision.
// A's rounding errors grow with a^2 a step where A is small, so X and A are computed anew before that could
// pass a bound. Its result differs from the standard form's by rounding: in float32 by about 1e-5 of its
// norm, and up to 2e-3 where singular values span seven decades; in bfloat16 it is the closer one to exact
// arithmetic.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "matmul.h"
#include "state_store.h"

namespace fo {

// Rows of `cols` floats, `ld` floats apart. Replaced by its result.
struct NsMatrix {
  float* data;
  int64_t rows, cols, ld;
};

struct NsCoefficients {
  double a, b, c;
};

enum class NsForm : uint8_t {
  kStandard,
  kGram,
  kAuto,  // the one that takes fewer operations; the standard one for nearly square matrices
};

struct NsOptions {
  int steps = 5;
  // One triple a step: the last repeats, surplus ones are not used.
  std::vector<NsCoefficients> coefficients = {{3.4445, -4.7750, 2.0315}};
  double eps = 1e-7;
  // bfloat16 rounds what PyTorch's Muon rounds: X, A and b A + c A A, the norm too.
  Precision precision = Precision::kF32;
  NsForm form = NsForm::kStandard;
};

class NewtonSchulz {
 public:
  // `matmul` must live as long as this.
  NewtonSchulz(Matmul* matmul, int threads);

  // Makes room to run() on matrices of these shapes, and keeps it. False, with the bytes that could not be
  // had, when memory is short; nothing has changed then. Equal shapes run as batches, of as many matrices as
  // 32 MiB hold, so the room is 32 MiB or what the largest matrix needs alone: with r the smaller of its
  // sides, about rows * cols + 2 r^2 floats (5 r^2 in the Gram form), and packed factors of 2 rows * cols.
  bool reserve(const NsMatrix* matrices, size_t count, const NsOptions& options, size_t* bytes_wanted);

  // Orthogonalizes matrices of the shapes and options last reserved. A matrix of zeros stays zero, and one
  // that holds NaN or infinity becomes NaN, alone. `errors`, where not null, gets |X X^T - I|_F / sqrt(r)
  // of each result, for one more product.
  void run(const NsMatrix* matrices, size_t count, const NsOptions& options, double* errors);

  size_t workspace_bytes() const { return memory_ ? memory_->bytes() : 0; }

 private:
  struct Chunk;
  template <class F>
  void batches(const NsMatrix* matrices, size_t count, const NsOptions& options, const F& f);

  Matmul* matmul_;
  int threads_;
  std::shared_ptr<Slab> memory_;
  std::vector<size_t> order_;     // matrices by shape
  std::vector<Factors> factors_;  // of one batch
};

}  // namespace fo
