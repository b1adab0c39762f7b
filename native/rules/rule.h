#pragma once
// What every rule shares: defaults of the contract (see README.md here) and the two kinds of weight decay.
#include <cstdint>

#include "../vec/portable.h"

// What whole() is told of a tensor, in the precision it computes in: double on the CPU, float on a GPU.
template <class T>
struct Whole {
  const T* sums;
  T length;
  int ndim;
};

// How Muon orthogonalizes the matrices of a group.
struct Orthogonalization {
  int steps;
  double eps;
  bool bf16;
  int form;  // of NsForm
  const double* coefficients;
  int triples;
  int split;  // equal parts of the output axis that are matrices of their own
  // On a GPU: fo::cuda::MuonMode, and the bytes that all batches of a time may take.
  int cuda_mode;
  double workspace_bytes;
};

struct Sync {
  bool keeps = false, due = false;
  double alpha = 0;
};

// A rule derives from this and overrides what differs.
struct Rule {
  // Variants of one rule that need other states; each is compiled on its own, so a kernel never loads what it
  // ignores.
  static constexpr int kModes = 1;
  template <class H>
  static int mode(const H&) {
    return 0;
  }
  // Bit k set: state k exists in this mode.
  static constexpr unsigned uses(int) { return ~0u; }
  // What a state holds before its tensor's first step.
  template <class H>
  static double initial(const H&, int) {
    return 0;
  }
  // Whether it is an optimizer, or shares the loops only.
  static constexpr bool kIsHelper = false;
  // Whether states may be kept in 8 bits, and which of them (bits) are never negative: these have twice as
  // many codes.
  static constexpr bool kBlocks8 = false;
  static constexpr unsigned kNonNegative = 0;
  // Per-tensor numbers kept in double beside the states.
  static constexpr int kScalars = 0;

  // A norm rule works in two passes. measure() sees every element first and adds to kSums sums; whole() turns
  // the sums of the tensor into coefficients; then comes update(). What measure() has written, update() only
  // reads.
  static constexpr int kSums = 0;
  static constexpr unsigned measure_writes(int) { return 0; }

  // Gradient centralization: whether the rule knows it, and whether the mean over all axes but the first is
  // taken from the gradient of a tensor of `ndim` axes.
  static constexpr bool kCentralizes = false;
  template <class H>
  static bool centralizes(const H&, int) {
    return false;
  }
  // Muon: its direction is orthogonalized, and fit() scales the step to the shape.
  static constexpr bool kOrthogonalizes = false, kFits = false;

  // Lookahead of the rule's own: whether slow weights are kept, and after which steps weights meet them.
  template <class H>
  FO_HD Sync sync(const H&, double) {
    return {};
  }
};

constexpr unsigned bit(int state) { return 1u << state; }

// Coupled: g += l2 * p. Decoupled: p *= keep. The kind not asked for is the identity.
template <class R>
struct Decay {
  R l2, keep;
};

// The gradient with coupled decay. Without decay p stays out of it: 0 times an infinite p would be NaN.
template <class V, class R>
FO_FN V coupled(V g, V p, R l2) {
  if (l2 != 0) g = fma(V(l2), p, g);
  return g;
}

template <class R>
FO_HD Decay<R> decay_of(double lr, double weight_decay, bool decoupled) {
  return decoupled ? Decay<R>{R(0), R(1 - lr * weight_decay)} : Decay<R>{R(weight_decay), R(1)};
}

// Fully decoupled decay: weightDecay counts at the schedule's peak, max_lr, and shrinks with lr from there.
template <class R, class T>
FO_HD R fully_decoupled(T lr, T weight_decay, T decouple_lr, T max_lr) {
  if (decouple_lr == 0) return R(1 - lr * weight_decay);
  return max_lr > 0 ? R(1 - lr / max_lr * weight_decay) : R(1);
}

// base^n for a whole n >= 0, by products alone: the same bits on every processor, which pow() does not
// promise.
FO_HD double power(double base, double n) {
  double result = 1;
  for (auto left = uint64_t(n); left > 0; left >>= 1, base *= base)
    if (left & 1) result *= base;
  return result;
}
