#pragma once
// LARS: momentum whose step is scaled, tensor by tensor, to the weights' norm (You et al., 2017,
// arXiv:1708.03888).
#include <algorithm>
#include <cmath>

#include "rule.h"

struct LARS : Rule {
  enum State { momentum_buffer, kStates };
  enum Mode { kPlain, kMomentum };
  enum TrustNorm { kGradient, kUpdate };
  enum Sum { weight_squares, grad_squares, kSumCount };
  static constexpr int kModes = 2;
  static constexpr int kSums = kSumCount;
  template <class T>
  struct HyperOf {
    T lr, momentum, dampening, nesterov, weight_decay, trust_coefficient, eps, trust_clip, always_adapt,
        skip1d, trust_norm, lr_in_momentum;
  };
  using Hyper = HyperOf<double>;
  template <class R>
  struct Coef {
    R decay_in_norm, decay, ratio, momentum, inflow, look_ahead, step;
  };

  static constexpr const char* hyper_names[] = {
      "lr",  "momentum",   "dampening",    "nesterov", "weight_decay", "trust_coefficient",
      "eps", "trust_clip", "always_adapt", "skip1d",   "trust_norm",   "lr_in_momentum"};
  static constexpr const char* state_names[] = {"momentum_buffer"};

  template <class H>
  static int mode(const H& h) {
    return h.momentum != 0 ? kMomentum : kPlain;
  }
  static constexpr unsigned uses(int mode) { return mode == kMomentum ? bit(momentum_buffer) : 0; }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    Coef<R> c{};
    c.decay_in_norm = h.trust_norm == kUpdate ? R(h.weight_decay) : R(0);
    c.decay = R(h.weight_decay);
    c.ratio = 1;
    c.momentum = R(h.momentum);
    c.inflow = t == 1 ? R(1) : R(1 - h.dampening);  // the buffer starts as the scaled gradient itself
    c.step = R(-h.lr);
    if (h.lr_in_momentum) c.inflow = R(-h.lr), c.step = 1;
    c.look_ahead = h.nesterov ? R(1) : R(0);
    return c;
  }

  template <int M, class V, class Sums, class R>
  FO_FN void measure(V p, V g, V*, const Coef<R>& c, Sums& sums) {
    sums.square(weight_squares, p);
    sums.square(grad_squares, coupled(g, p, c.decay_in_norm));
  }

  // Returns the trust ratio.
  template <class T, class R>
  FO_HD T whole(const HyperOf<T>& h, const Whole<T>& tensor, Coef<R>& c) {
    if (h.skip1d && tensor.ndim <= 1) {
      c.decay = 0;
      return 1;
    }
    if (h.weight_decay == 0 && !h.always_adapt) return 1;
    const T weight = std::sqrt(tensor.sums[weight_squares]), grad = std::sqrt(tensor.sums[grad_squares]);
    T ratio = 1;
    if (weight > 0 && grad > 0) {
      const T decayed = h.trust_norm == kUpdate ? T(0) : h.weight_decay * weight;
      ratio = h.trust_coefficient * weight / (grad + decayed + h.eps);
    }
    if (h.trust_clip) ratio = h.lr > 0 ? std::min(ratio / h.lr, T(1)) : T(1);
    c.ratio = R(ratio);
    return ratio;
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    g = c.ratio * coupled(g, p, c.decay);
    if constexpr (M == kPlain) {
      p = fma(c.step, g, p);
    } else {
      V& v = s[momentum_buffer];
      v = fma(c.momentum, v, c.inflow * g);
      V direction = v;
      if (c.look_ahead != 0) direction = fma(c.momentum, v, c.inflow * g);
      p = fma(c.step, direction, p);
    }
  }
};
