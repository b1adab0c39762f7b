#include "arrays.h"

#include <algorithm>

#include "../cpu/thread_pool.h"
#include "chunks.h"

namespace fo {
namespace {

// Calls f(array, block, from, to) for every block of every array.
template <class F>
void for_blocks(const std::vector<Array>& arrays, int threads, const F& f) {
  struct Start {
    uint64_t block;
    size_t array;
  };
  std::vector<Start> starts;
  uint64_t blocks = 0, elements = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (arrays[i].length == 0) continue;
    starts.push_back({blocks, i});
    blocks += (arrays[i].length + kSumBlock - 1) / kSumBlock;
    elements += arrays[i].length;
  }
  const uint64_t a_task = elements > kSerialElements ? kMinChunk / kSumBlock : std::max<uint64_t>(blocks, 1);
  parallel_for(threads, (blocks + a_task - 1) / a_task, [&](uint64_t task) {
    const uint64_t end = std::min(blocks, (task + 1) * a_task);
    auto start = std::upper_bound(starts.begin(), starts.end(), task * a_task,
                                  [](uint64_t block, const Start& s) { return block < s.block; }) -
                 1;
    for (uint64_t block = task * a_task; block < end; ++block) {
      if (start + 1 != starts.end() && start[1].block <= block) ++start;
      const size_t from = size_t(block - start->block) * kSumBlock;
      f(start->array, block, from, std::min(from + kSumBlock, arrays[start->array].length));
    }
  });
}

TensorArgs args_of(const Array& array) { return {array.data, array.other, {}}; }

constexpr GradArgs kAsIs{1, 1, 0};

}  // namespace

void transform(const RuleKernels& kernels, const RuleInfo& helper, int threads,
               const std::vector<Array>& arrays, const double* values) {
  for_blocks(arrays, threads, [&](size_t i, uint64_t, size_t from, size_t to) {
    alignas(16) unsigned char coef[kMaxCoefBytes];
    const double hyper[] = {0, values[i]};  // what is common to all rules comes first
    static_assert(kCommonHypers == 1, "the row of a helper");
    helper.prepare(hyper, 1, nullptr, coef);
    kernels.update[0](args_of(arrays[i]), from, to - from, kAsIs, coef);
  });
}

void sum_squares(const RuleKernels& squares, int threads, const std::vector<Array>& arrays, double* sums) {
  uint64_t blocks = 0;
  for (const Array& array : arrays) blocks += (array.length + kSumBlock - 1) / kSumBlock;
  std::vector<double> partial(blocks);
  const float unused = 0;
  for_blocks(arrays, threads, [&](size_t i, uint64_t block, size_t from, size_t to) {
    squares.measure[0](args_of(arrays[i]), from, to - from, kAsIs, &unused, &partial[block]);
  });
  uint64_t block = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    sums[i] = 0;
    for (uint64_t end = block + (arrays[i].length + kSumBlock - 1) / kSumBlock; block < end; ++block)
      sums[i] += partial[block];
  }
}

}  // namespace fo
