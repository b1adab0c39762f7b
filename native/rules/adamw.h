#pragma once
// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101).
#include "adam.h"

struct AdamW : Adam {
  struct Hyper {
    double lr, beta1, beta2, eps, weight_decay, amsgrad, decouple_lr, max_lr;
  };
  template <class R>
  struct Coef {
    R keep;
    Adam::Coef<R> adam;
  };

  static constexpr const char* hyper_names[] = {"lr",           "beta1",   "beta2",       "eps",
                                                "weight_decay", "amsgrad", "decouple_lr", "max_lr"};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double* scalars) {
    return {fully_decoupled<R>(h.lr, h.weight_decay, h.decouple_lr, h.max_lr),
            Adam::prepare<R>({h.lr, h.beta1, h.beta2, h.eps, 0, h.amsgrad}, t, scalars)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    p = c.keep * p;
    Adam::update<M>(p, g, s, c.adam);
  }
};
