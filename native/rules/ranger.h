#pragma once
// Ranger: RAdam with Lookahead (Wright, 2019) and gradient centralization (Yong et al., 2020,
// arXiv:2004.01461).
#include "radam.h"

struct Ranger : RAdam {
  static constexpr bool kBlocks8 = false;
  enum Centralization { kNone, kAll, kConv };
  struct Hyper {
    double lr, beta1, beta2, eps, weight_decay, rho_threshold, k, alpha, gradient_centralization;
  };

  static constexpr const char* hyper_names[] = {"lr",  "beta1",        "beta2",
                                                "eps", "weight_decay", "rho_threshold",
                                                "k",   "alpha",        "gradient_centralization"};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double* scalars) {
    return RAdam::prepare<R>({h.lr, h.beta1, h.beta2, h.eps, h.weight_decay, 1, h.rho_threshold, 1}, t,
                             scalars);
  }
  static constexpr bool kCentralizes = true;
  template <class H>
  static bool centralizes(const H& h, int ndim) {
    return h.gradient_centralization != kNone && ndim > (h.gradient_centralization == kConv ? 3 : 1);
  }
  template <class H>
  FO_HD Sync sync(const H& h, double t) {
    return {true, std::fmod(t, h.k) == 0, h.alpha};
  }
};
