#pragma once
// Muon's matrices: memory for their directions, and batches of them through Newton-Schulz iteration.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "newton_schulz.h"
#include "rule_table.h"
#include "tensor_list.h"

namespace fo {

// One tensor whose direction is to be orthogonalized.
struct MatrixTask {
  size_t item;  // whose the caller says it is
  uint64_t length;
  Shape shape;
  Orthogonalization how;
  float* direction = nullptr;  // where it is computed, in its batch
  uint64_t start = 0;          // in the flat list of its batch
};

class Orthogonalizer {
 public:
  Orthogonalizer(Matmul* matmul, int threads);

  // Divides tasks into batches and makes room for the largest, which it keeps. False, with the bytes that
  // could not be had, when memory is short. Directions take 64 MiB, or what the largest tensor needs.
  bool reserve(std::vector<MatrixTask>* tasks, size_t* bytes_wanted);

  // A batch: tasks [begin, end), whose directions lie in memory together; `elements` of them in all.
  struct Batch {
    size_t begin, end;
    uint64_t elements;
  };
  const std::vector<Batch>& batches() const { return batches_; }

  // Orthogonalizes the directions of a batch. `errors`: null, or one for each of its tasks.
  void run(const MatrixTask* tasks, size_t count, double* errors);

 private:
  static NsOptions options_of(const Orthogonalization& how);
  // The matrices of tasks that are orthogonalized alike: a tensor, or its parts.
  void list(const MatrixTask& task);

  NewtonSchulz newton_schulz_;
  std::shared_ptr<Slab> memory_;
  std::vector<Batch> batches_;
  std::vector<NsMatrix> matrices_;
  std::vector<double> errors_;
};

}  // namespace fo
