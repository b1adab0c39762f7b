#include "newton_schulz.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <tuple>
#include <utility>

#include "../vec/bf16.h"
#include "newton_schulz_plan.h"
#include "thread_pool.h"

namespace fo {
namespace {

constexpr size_t kBatchBytes = 32 << 20;
constexpr int64_t kSerialElements = 1 << 15;  // fewer are not worth a second thread

// The sum over j of f(j)^2, always added up in the same order.
template <class F>
double sum_of_squares(int64_t count, const F& f) {
  double lanes[8] = {};
  int64_t j = 0;
  for (; j + 8 <= count; j += 8) {
    for (int lane = 0; lane < 8; ++lane) {
      const double x = f(j + lane);
      lanes[lane] += x * x;
    }
  }
  for (; j < count; ++j) lanes[j & 7] += f(j) * f(j);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

// What to multiply a matrix by, given the sum of its squares. Zeros stay zeros, whatever eps is.
double scale_of(double squares, double eps, bool bf16) {
  const double norm = std::sqrt(squares);
  if (norm == 0) return 0;
  if (!std::isfinite(norm)) return std::numeric_limits<double>::quiet_NaN();
  double divisor = std::max(norm, eps);
  if (bf16 && std::isfinite(round_bf16(float(divisor))) && round_bf16(float(divisor)) > 0)
    divisor = round_bf16(float(divisor));
  return 1 / divisor;
}

}  // namespace

// A batch of matrices of one shape.
struct NewtonSchulz::Chunk {
  const NsPlan& plan;
  NewtonSchulz& owner;
  const NsMatrix* matrices;
  const size_t* order;
  size_t count;
  char* memory;
  int now = 0;  // where X is: 0 in the caller's matrix, 1 in the workspace

  bool bf16() const { return plan.options.precision != Precision::kF32; }
  char* own(size_t q) const { return memory + q * plan.matrix_bytes(); }
  float* x(size_t q, int which) const {
    return which ? reinterpret_cast<float*>(own(q)) : matrices[order[q]].data;
  }
  int64_t x_ld(int which) const { return which ? plan.cols : plan.ld; }
  float* square(size_t q, int which) const {
    return reinterpret_cast<float*>(own(q) + plan.x_bytes + size_t(which) * plan.square_bytes);
  }
  double* sums(size_t q) const {
    return reinterpret_cast<double*>(own(q) + plan.x_bytes + size_t(plan.squares) * plan.square_bytes);
  }

  // Calls f(q, block, first row, end) for blocks of rows of every matrix.
  template <class F>
  void by_blocks(int64_t rows, int64_t at_a_time, int64_t width, const F& f) const {
    const uint64_t blocks = uint64_t((rows + at_a_time - 1) / at_a_time);
    const bool serial = rows * width * int64_t(count) < kSerialElements;
    parallel_for(serial ? 1 : owner.threads_, count * blocks, [&](uint64_t i) {
      const int64_t block = int64_t(i % blocks), begin = block * at_a_time;
      f(size_t(i / blocks), block, begin, std::min(rows, begin + at_a_time));
    });
  }
  double total(size_t q, int64_t rows, int64_t at_a_time) const {
    double sum = 0;
    for (int64_t block = 0; block * at_a_time < rows; ++block) sum += sums(q)[block];
    return sum;
  }

  template <class F>
  void multiply(const Product& product, const F& factors) {
    for (size_t q = 0; q < count; ++q) owner.factors_[q] = factors(q);
    char* const scratch = memory + count * plan.matrix_bytes();
    owner.matmul_->run(product, owner.factors_.data(), count, scratch);
  }
  void multiply_squares(const Product& product, int left, int right, int added, int result) {
    multiply(product, [&](size_t q) {
      return Factors{square(q, left), square(q, right), square(q, added), square(q, result)};
    });
  }
  void gram(int result, Precision precision) {
    multiply(plan.gram(x_ld(now), precision), [&](size_t q) {
      return Factors{x(q, now), x(q, now), nullptr, square(q, result)};
    });
  }
  void apply(int s, double beta) {
    multiply(plan.apply(x_ld(now), x_ld(1 - now), beta),
             [&](size_t q) { return plan.apply_factors(square(q, s), x(q, now), x(q, 1 - now)); });
    now = 1 - now;
  }

  // X, divided by its norm, goes to buffer `now`.
  void normalize() {
    const bool rounded = bf16();
    by_blocks(
        plan.rows, plan.block_rows, plan.cols, [&](size_t q, int64_t block, int64_t begin, int64_t end) {
          double sum = 0;
          for (int64_t i = begin; i < end; ++i) {
            const float* const row = x(q, 0) + i * plan.ld;
            sum += rounded ? sum_of_squares(plan.cols, [&](int64_t j) { return double(round_bf16(row[j])); })
                           : sum_of_squares(plan.cols, [&](int64_t j) { return double(row[j]); });
          }
          sums(q)[block] = sum;
        });
    for (size_t q = 0; q < count; ++q)
      sums(q)[0] = scale_of(total(q, plan.rows, plan.block_rows), plan.options.eps, rounded);
    by_blocks(plan.rows, plan.block_rows, plan.cols, [&](size_t q, int64_t, int64_t begin, int64_t end) {
      const double scale = sums(q)[0];
      for (int64_t i = begin; i < end; ++i) {
        const float* const from = x(q, 0) + i * plan.ld;
        float* const to = x(q, now) + i * x_ld(now);
        if (rounded) {
          for (int64_t j = 0; j < plan.cols; ++j) to[j] = round_bf16(float(round_bf16(from[j]) * scale));
        } else {
          for (int64_t j = 0; j < plan.cols; ++j) to[j] = float(from[j] * scale);
        }
      }
    });
  }

  void standard_step(const NsCoefficients& c) {
    const Precision precision = plan.options.precision;
    gram(0, precision);
    multiply_squares(plan.square(precision, c.c, c.b), 0, 0, 0, 1);
    apply(1, c.a);
  }

  void add_to_diagonal(int which, double a) {
    for (size_t q = 0; q < count; ++q)
      for (int64_t i = 0; i < plan.r; ++i) square(q, which)[i * plan.r + i] += float(a);
  }

  void gram_steps(int step, int length) {
    int a = 0, z = 1, other = 2, w = 3, q = 4;
    const Product product = plan.square(Precision::kF32);
    gram(a, bf16() ? Precision::kBf16Inputs : Precision::kF32);
    for (int i = 0; i < length; ++i) {
      const NsCoefficients& c = plan.coefficients(step + i);
      multiply_squares(plan.square(Precision::kF32, c.c, c.b), a, a, a, z);
      add_to_diagonal(z, c.a);
      if (i + 1 < length) {
        multiply_squares(product, z, a, a, w);
        multiply_squares(product, w, z, a, a);
      }
      if (i == 0) {
        std::swap(q, z);
      } else {
        multiply_squares(product, z, q, a, other);
        std::swap(q, other);
      }
    }
    apply(q, 0);
  }

  void run() {
    now = plan.stretches() % 2;  // so that the last result falls into the caller's matrix
    normalize();
    for (int step = 0, length; step < plan.options.steps; step += length) {
      length = plan.stretch(step);
      if (length == 1) {
        standard_step(plan.coefficients(step));
      } else {
        gram_steps(step, length);
      }
    }
  }

  void errors(double* errors) {
    gram(0, Precision::kF32);
    by_blocks(plan.r, plan.square_rows, plan.r, [&](size_t q, int64_t block, int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        const float* const row = square(q, 0) + i * plan.r;
        sum += sum_of_squares(plan.r, [&](int64_t j) { return double(row[j]) - (i == j); });
      }
      sums(q)[block] = sum;
    });
    for (size_t q = 0; q < count; ++q)
      errors[order[q]] = std::sqrt(total(q, plan.r, plan.square_rows) / double(plan.r));
  }
};

NewtonSchulz::NewtonSchulz(Matmul* matmul, int threads) : matmul_(matmul), threads_(threads) {}

// Calls f(plan, first, count, bytes) for ranges of order_. Allocates nothing once order_ has been as large.
template <class F>
void NewtonSchulz::batches(const NsMatrix* matrices, size_t count, const NsOptions& options, const F& f) {
  const auto shape = [&](size_t i) {
    const NsMatrix& m = matrices[i];
    return std::make_tuple(m.rows, m.cols, m.ld);
  };
  order_.resize(count);
  for (size_t i = 0; i < count; ++i) order_[i] = i;
  std::sort(order_.begin(), order_.end(),
            [&](size_t i, size_t j) { return shape(i) != shape(j) ? shape(i) < shape(j) : i < j; });
  for (size_t first = 0, end; first < count; first = end) {
    for (end = first; end < count && shape(order_[end]) == shape(order_[first]);) ++end;
    const NsMatrix& matrix = matrices[order_[first]];
    if (matrix.rows == 0 || matrix.cols == 0) continue;
    const NsPlan plan(matrix, options, *matmul_);
    const size_t each = plan.matrix_bytes() + plan.scratch_bytes(*matmul_, 1);
    const size_t at_once = std::max<size_t>(1, std::min(end - first, kBatchBytes / each));
    for (size_t i = first; i < end; i += at_once) {
      const size_t n = std::min(at_once, end - i);
      f(plan, i, n, n * plan.matrix_bytes() + plan.scratch_bytes(*matmul_, n));
    }
  }
}

bool NewtonSchulz::reserve(const NsMatrix* matrices, size_t count, const NsOptions& options,
                           size_t* bytes_wanted) {
  size_t bytes = 0, batch = 0;
  *bytes_wanted = count * (sizeof(size_t) + sizeof(Factors));
  try {
    batches(matrices, count, options, [&](const NsPlan&, size_t, size_t n, size_t needed) {
      bytes = std::max(bytes, needed);
      batch = std::max(batch, n);
    });
    if (factors_.size() < batch) factors_.resize(batch);
  } catch (const std::bad_alloc&) {
    return false;
  }
  *bytes_wanted = bytes;
  if (bytes <= workspace_bytes()) return true;
  auto grown = Slab::allocate(bytes);
  if (!grown) return false;
  memory_ = std::move(grown);
  return true;
}

void NewtonSchulz::run(const NsMatrix* matrices, size_t count, const NsOptions& options, double* errors) {
  if (errors) std::fill_n(errors, count, 0.);
  batches(matrices, count, options, [&](const NsPlan& plan, size_t first, size_t n, size_t) {
    Chunk chunk{plan, *this, matrices, &order_[first], n, memory_ ? memory_->data() : nullptr};
    chunk.run();
    if (errors) chunk.errors(errors);
  });
}

}  // namespace fo
