#pragma once
// The plain-C face of a kernel: what every backend shares. Includes nothing of ours, so that the files
// compiled per instruction set stay free of inline code that a linker could merge across them.
#include <cstddef>
#include <cstdint>

namespace fo {

// A rule's own, the slow weights of Lookahead, and what 16-bit parameters keep besides.
constexpr int kMaxStates = 5;
constexpr int kMaxModes = 4;
constexpr int kMaxScalars = 2;
constexpr int kMaxSums = 3;
constexpr size_t kMaxCoefBytes = 96;

// Sums over a tensor have one order whatever the instruction set and the number of threads: blocks of this
// many elements, in each of them this many running sums in double, added up as a tree.
constexpr size_t kSumBlock = 4096;
constexpr size_t kSumLanes = 16;

// Memory of one tensor.
struct TensorArgs {
  void* param;
  const void* grad;
  void* states[kMaxStates];
};

// What becomes of a gradient before the rule sees it: clip * (unscale * g) - shift. Two factors, not their
// product, so that the bits are those of unscaling and then clipping. unscale is negative to maximize.
// Kernels round all three to what they compute in.
struct GradArgs {
  double unscale, clip, shift;
};

// What a step may do beside its update: pull the slow weights along and meet them (Lookahead), and add up
// squares of the unscaled gradient, the update and the parameter before it.
struct Extras {
  bool sync;
  double alpha;
  double* sums;  // null: none
};
enum ObservedSum { kGradSquares, kUpdateSquares, kParamSquares, kObservedSums };

// All work on `count` elements from element `begin` on.
using UpdateKernel = void (*)(const TensorArgs&, size_t begin, size_t count, const GradArgs&,
                              const void* coef);
using ObserveKernel = void (*)(const TensorArgs&, size_t begin, size_t count, const GradArgs&,
                               const void* coef, const Extras&);
// The first pass of a rule that needs sums over whole tensors; adds to `sums`. At most a block at a time.
using MeasureKernel = void (*)(const TensorArgs&, size_t begin, size_t count, const GradArgs&,
                               const void* coef, double* sums);

struct RuleKernels {
  UpdateKernel update[kMaxModes];
  ObserveKernel observe[kMaxModes];
  MeasureKernel measure[kMaxModes];  // null for rules of one pass
};

}  // namespace fo
