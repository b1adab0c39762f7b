#pragma once
// The loops of the optimizers on plain arrays: norms, scaling, clamping, averaging.
#include <cstddef>
#include <vector>

#include "kernel.h"
#include "rule_table.h"

namespace fo {

struct Array {
  float* data;
  const float* other;  // what the helper reads beside it; data itself where it reads nothing else
  size_t length;
};

// Does `helper` to every array, with a value of its own for each.
void transform(const RuleKernels& kernels, const RuleInfo& helper, int threads,
               const std::vector<Array>& arrays, const double* values);

// The sum of squares of every array, in the order of blocks that steps use too.
void sum_squares(const RuleKernels& squares, int threads, const std::vector<Array>& arrays, double* sums);

}  // namespace fo
