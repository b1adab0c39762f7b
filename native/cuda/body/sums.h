#pragma once
// Sums in one order, whatever the grid: in a thread, one running sum for each of its elements; over the
// threads of a block, a tree.
#include "access.h"

namespace fo::cuda {

template <class V, int kCount, int E>
struct Sums {
  V lanes[kCount][E];

  FO_MEMBER Sums() {
    FO_UNROLL
    for (int k = 0; k < kCount; ++k) {
      FO_UNROLL
      for (int e = 0; e < E; ++e) lanes[k][e] = V(0.f);
    }
  }

  // What element e adds; one that is not valid adds nothing.
  struct Part {
    Sums& all;
    int e;
    bool valid;
    FO_MEMBER void square(int k, V a) const {
      const V x = valid ? a : V(0.f);
      all.lanes[k][e] = fma(x, x, all.lanes[k][e]);
    }
    FO_MEMBER void plain(int k, V a) const { all.lanes[k][e] = all.lanes[k][e] + (valid ? a : V(0.f)); }
  };

  FO_MEMBER auto total(int k) const {
    V x[E];
    FO_UNROLL
    for (int e = 0; e < E; ++e) x[e] = lanes[k][e];
    FO_UNROLL
    for (int width = E / 2; width > 0; width /= 2) {
      FO_UNROLL
      for (int e = 0; e < width; ++e) x[e] = x[e] + x[e + width];
    }
    return x[0].x;
  }
};

// What takes no sums.
struct NoSums {};

// A tree over the threads of a block, which leaves what all have come to at the first: join(a, b) takes what
// thread b has to thread a. Begins and ends a phase.
template <class Block, class Join>
FO_DEVICE void fold(Block& block, const Join& join) {
  block.sync();
  for (int width = kThreads / 2; width > 0; width /= 2) {
    block.each([&](int thread) {
      if (thread < width) join(thread, thread + width);
    });
    if (width > kWarp) {
      block.sync();
    } else {
      block.sync_warps();  // the first warp goes on alone
    }
  }
  block.sync();
}

// The same for each warp by itself, to its own first thread. All that a warp has is its own.
template <class Block, class Join>
FO_DEVICE void fold_warps(Block& block, const Join& join) {
  block.sync_warps();
  for (int width = kWarp / 2; width > 0; width /= 2) {
    block.each([&](int thread) {
      if (thread % kWarp < width) join(thread, thread + width);
    });
    block.sync_warps();
  }
}

// Adds up `count` rows of one number a thread, each into its first.
template <class Block, class T>
FO_DEVICE void add_up(Block& block, T (*rows)[kThreads], int count) {
  fold(block, [&](int to, int from) {
    for (int k = 0; k < count; ++k) rows[k][to] = rows[k][to] + rows[k][from];
  });
}

// One thread's part of a long sum: numbers thread, thread + kThreads, ... of `count`, those of a run added up
// before they join the rest.
template <class T>
FO_DEVICE T part_of_sum(const T* numbers, uint32_t stride, uint32_t count, int thread) {
  constexpr uint32_t kRun = 32;
  T total = 0;
  for (uint32_t i = uint32_t(thread); i < count;) {
    T run = 0;
    // Every block does this before its first element: the loads should be on their way together, so there is
    // no branch around them.
    FO_UNROLL_BY(8)
    for (uint32_t k = 0; k < kRun; ++k, i += kThreads) {
      const T number = numbers[uint64_t(i < count ? i : count - 1) * stride];
      run = run + (i < count ? number : T(0));
    }
    total = total + run;
  }
  return total;
}

}  // namespace fo::cuda
