#include "orthogonalizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

namespace fo {
namespace {

constexpr uint64_t kBatchElements = (64 << 20) / sizeof(float);

constexpr uint64_t padded_length(uint64_t length) { return padded(length * sizeof(float)) / sizeof(float); }

bool alike(const Orthogonalization& a, const Orthogonalization& b) {
  return a.steps == b.steps && a.eps == b.eps && a.bf16 == b.bf16 && a.form == b.form &&
         a.triples == b.triples && a.split == b.split &&
         std::memcmp(a.coefficients, b.coefficients, size_t(a.triples) * 3 * sizeof(double)) == 0;
}

}  // namespace

Orthogonalizer::Orthogonalizer(Matmul* matmul, int threads) : newton_schulz_(matmul, threads) {}

NsOptions Orthogonalizer::options_of(const Orthogonalization& how) {
  NsOptions options;
  options.steps = how.steps;
  options.eps = how.eps;
  options.precision = how.bf16 ? Precision::kBf16 : Precision::kF32;
  options.form = NsForm(how.form);
  options.coefficients.clear();
  for (int i = 0; i < std::min(how.triples, how.steps); ++i) {
    const double* const triple = how.coefficients + 3 * i;
    options.coefficients.push_back({triple[0], triple[1], triple[2]});
  }
  return options;
}

void Orthogonalizer::list(const MatrixTask& task) {
  const auto [ndim, rows, cols, columns] = task.shape;
  const int parts = task.how.split;
  for (int part = 0; part < parts; ++part) {
    const size_t height = columns ? rows : rows / size_t(parts);
    const size_t width = columns ? cols / size_t(parts) : cols;
    float* const data = task.direction + size_t(part) * (columns ? width : height * width);
    matrices_.push_back({data, int64_t(height), int64_t(width), int64_t(cols)});
  }
}

bool Orthogonalizer::reserve(std::vector<MatrixTask>* tasks, size_t* bytes_wanted) {
  batches_.clear();
  if (tasks->empty()) return true;
  try {
    // Equal shapes come together, so that batches hold many of them.
    std::stable_sort(tasks->begin(), tasks->end(), [](const MatrixTask& a, const MatrixTask& b) {
      return a.shape.rows != b.shape.rows ? a.shape.rows < b.shape.rows : a.shape.cols < b.shape.cols;
    });
    uint64_t most = 0;
    for (size_t i = 0; i < tasks->size(); ++i) {
      MatrixTask& task = (*tasks)[i];
      const uint64_t length = padded_length(task.length);
      const bool fits = !batches_.empty() && batches_.back().elements + length <= kBatchElements &&
                        alike((*tasks)[i - 1].how, task.how);
      if (!fits) batches_.push_back({i, i, 0});
      task.start = batches_.back().elements;
      batches_.back().end = i + 1;
      batches_.back().elements += length;
      most = std::max(most, batches_.back().elements);
    }
    *bytes_wanted = most * sizeof(float);
    if (!memory_ || memory_->bytes() < *bytes_wanted) {
      memory_.reset();
      memory_ = Slab::allocate(*bytes_wanted);
      if (!memory_) return false;
    }
    for (MatrixTask& task : *tasks) task.direction = reinterpret_cast<float*>(memory_->data()) + task.start;
    for (const Batch& batch : batches_) {
      matrices_.clear();
      for (size_t i = batch.begin; i < batch.end; ++i) list((*tasks)[i]);
      const NsOptions options = options_of((*tasks)[batch.begin].how);
      if (!newton_schulz_.reserve(matrices_.data(), matrices_.size(), options, bytes_wanted)) return false;
      errors_.reserve(matrices_.size());
    }
  } catch (const std::bad_alloc&) {
    *bytes_wanted = tasks->size() * sizeof(MatrixTask);
    return false;
  }
  *bytes_wanted = 0;
  return true;
}

void Orthogonalizer::run(const MatrixTask* tasks, size_t count, double* errors) {
  matrices_.clear();
  for (size_t i = 0; i < count; ++i) list(tasks[i]);
  errors_.resize(matrices_.size());
  const NsOptions options = options_of(tasks[0].how);
  size_t unused = 0;  // there is room: reserve() made it
  newton_schulz_.reserve(matrices_.data(), matrices_.size(), options, &unused);
  newton_schulz_.run(matrices_.data(), matrices_.size(), options, errors ? errors_.data() : nullptr);
  if (!errors) return;
  // Of the parts of a tensor the worst counts; a NaN stays one.
  const double* error = errors_.data();
  for (size_t i = 0; i < count; ++i) {
    errors[i] = 0;
    for (int part = 0; part < tasks[i].how.split; ++part, ++error)
      if (!(*error <= errors[i])) errors[i] = *error;
  }
}

}  // namespace fo
