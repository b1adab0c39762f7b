#pragma once
// LAMB: Adam's direction, scaled tensor by tensor to the weights' norm (You et al., 2020, arXiv:1904.00962).
#include <algorithm>
#include <cmath>

#include "rule.h"

struct LAMB : Rule {
  enum State { exp_avg, exp_avg_sq, kStates };
  enum Sum { weight_squares, update_squares, kSumCount };
  static constexpr int kSums = kSumCount;
  template <class T>
  struct HyperOf {
    T lr, beta1, beta2, eps, weight_decay, bias_correction, always_adapt, trust_ratio_min, trust_ratio_max,
        weight_norm_max, grad_averaging;
  };
  using Hyper = HyperOf<double>;
  template <class R>
  struct Coef {
    R beta1, beta1_c, beta2, beta2_c, inv_bias1, inv_bias2_sqrt, eps, decay, step;
  };

  static constexpr const char* hyper_names[] = {"lr",
                                                "beta1",
                                                "beta2",
                                                "eps",
                                                "weight_decay",
                                                "bias_correction",
                                                "always_adapt",
                                                "trust_ratio_min",
                                                "trust_ratio_max",
                                                "weight_norm_max",
                                                "grad_averaging"};
  static constexpr const char* state_names[] = {"exp_avg", "exp_avg_sq"};
  static constexpr unsigned measure_writes(int) { return bit(exp_avg) | bit(exp_avg_sq); }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    const double bias1 = h.bias_correction ? 1 - power(h.beta1, t) : 1;
    const double bias2 = h.bias_correction ? 1 - power(h.beta2, t) : 1;
    return {R(h.beta1),   h.grad_averaging ? R(1 - h.beta1) : R(1),
            R(h.beta2),   R(1 - h.beta2),
            R(1 / bias1), R(1 / std::sqrt(bias2)),
            R(h.eps),     R(h.weight_decay),
            R(-h.lr)};
  }

  template <class V, class R>
  FO_FN V direction(V p, const V* s, const Coef<R>& c) {
    const V u = (c.inv_bias1 * s[exp_avg]) / fma(sqrt(s[exp_avg_sq]), c.inv_bias2_sqrt, c.eps);
    return coupled(u, p, c.decay);
  }

  template <int M, class V, class Sums, class R>
  FO_FN void measure(V p, V g, V* s, const Coef<R>& c, Sums& sums) {
    s[exp_avg] = fma(c.beta1, s[exp_avg], c.beta1_c * g);
    s[exp_avg_sq] = fma(c.beta2, s[exp_avg_sq], c.beta2_c * (g * g));
    sums.square(weight_squares, p);
    sums.square(update_squares, direction(p, s, c));
  }

  // Returns the trust ratio. 0 for a limit: none.
  template <class T, class R>
  FO_HD T whole(const HyperOf<T>& h, const Whole<T>& tensor, Coef<R>& c) {
    if (h.weight_decay == 0 && !h.always_adapt) return 1;
    T weight = std::sqrt(tensor.sums[weight_squares]);
    const T update = std::sqrt(tensor.sums[update_squares]);
    if (h.weight_norm_max > 0) weight = std::min(weight, h.weight_norm_max);
    if (!(weight > 0 && update > 0)) return 1;
    T ratio = std::max(weight / update, h.trust_ratio_min);
    if (h.trust_ratio_max > 0) ratio = std::min(ratio, h.trust_ratio_max);
    c.step = R(-h.lr * ratio);
    return ratio;
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V, V* s, const Coef<R>& c) {
    p = fma(c.step, direction(p, s, c), p);
  }
};
