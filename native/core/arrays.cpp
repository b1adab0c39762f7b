#include "arrays.h"

#include <algorithm>

#include "sweep.h"

namespace fo {
namespace {

// Calls f(array, block, from, to) for every block of every array; blocks are numbered through.
template <class F>
void for_blocks(const std::vector<Array>& arrays, int threads, const F& f) {
  struct Span {
    uint64_t start, length, first_block;
    size_t array;
  };
  std::vector<Span> spans;
  uint64_t total = 0, blocks = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    spans.push_back({total, arrays[i].length, blocks, i});
    total += arrays[i].length;
    blocks += (arrays[i].length + kSumBlock - 1) / kSumBlock;
  }
  sweep(spans, total, threads, kSumBlock, [&](const Span& span, uint64_t from, uint64_t to) {
    for (uint64_t begin = from; begin < to; begin += kSumBlock)
      f(span.array, span.first_block + begin / kSumBlock, size_t(begin),
        size_t(std::min<uint64_t>(begin + kSumBlock, to)));
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
    helper.f32.prepare(hyper, 1, nullptr, coef);
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
