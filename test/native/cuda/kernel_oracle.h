#pragma once
// The same pass by the CPU's scalar kernels.
#include <vector>

#include "kernel_model.h"

extern "C" const fo::RuleKernels* const* fo_kernels_scalar();

namespace fo_test {

inline const fo::RuleKernels& scalar_kernels(const fo::RuleInfo& rule, bool is_double) {
  return fo_kernels_scalar()[is_double ? fo::f64 : fo::f32][rule.index];
}

// A tensor's numbers as they are computed with.
template <class Real>
struct Decoded {
  std::vector<Real> param, grad, states[fo::kMaxStates];
  fo::TensorArgs args{};

  explicit Decoded(TestTensor& t) : param(t.length), grad(t.length) {
    for (size_t i = 0; i < t.length; ++i) {
      if (t.format.rounding == fo::Rounding::kMaster) {
        param[i] = Real(t.extra.get(i));
      } else if (t.format.rounding == fo::Rounding::kSplit) {
        param[i] = fo::join(t.param.as<uint16_t>()[i], t.extra.as<uint16_t>()[i]);
      } else {
        param[i] = Real(t.param.get(i));
      }
      grad[i] = Real(t.grad.get(i));
    }
    args.param = param.data(), args.grad = grad.data();
    decode_states(t);
  }

  void decode_states(TestTensor& t) {
    for (int k = 0; k < fo::kMaxStates; ++k) {
      if (!t.states[k].data()) continue;
      states[k].resize(t.length);
      for (size_t i = 0; i < t.length; ++i) states[k][i] = Real(t.states[k].get(i));
      args.states[k] = states[k].data();
    }
  }

  void encode_states(TestTensor& t) {
    for (int k = 0; k < fo::kMaxStates; ++k) {
      if (t.states[k].type == fo::DType::kBlocks8) {
        if (t.states[k].data()) t.states[k].encode(states[k]);
        continue;
      }
      for (size_t i = 0; i < states[k].size(); ++i) t.states[k].set(i, states[k][i]);
    }
  }
  void encode_param(TestTensor& t, uint32_t step) {
    for (size_t i = 0; i < t.length; ++i) {
      const float x = float(param[i]);
      switch (t.format.rounding) {
        case fo::Rounding::kMaster:
          t.extra.set(i, x);
          [[fallthrough]];
        case fo::Rounding::kNearest:
          t.param.set(i, param[i]);
          break;
        case fo::Rounding::kStochastic: {
          const uint32_t key = fo::rounding_key(kSeed, t.number, step, 0);
          t.param.set_bits(i, fo::to_bf16_stochastic(x, fo::random_bits(key, uint32_t(i))));
          break;
        }
        case fo::Rounding::kKahan: {
          uint16_t rest = t.extra.as<uint16_t>()[i];
          t.param.set_bits(i, fo::add_kahan(float(t.param.get(i)), x, &rest));
          t.extra.set_bits(i, rest);
          break;
        }
        case fo::Rounding::kSplit:
          t.param.set_bits(i, fo::split_high(fo::canonical(x)));
          t.extra.set_bits(i, fo::split_low(fo::canonical(x)));
          break;
      }
    }
  }
};

// The update of every tensor; for norm rules, both passes. `sums`: null, or three for each tensor.
template <class Real>
void oracle(World* world, double clip, std::vector<double>* observed = nullptr) {
  const Setup& s = world->setup;
  constexpr bool kDouble = sizeof(Real) == 8;
  const fo::RuleKernels& kernels = scalar_kernels(*s.rule, kDouble);
  const fo::RuleMath& math = kDouble ? s.rule->f64 : s.rule->f32;
  const double unscale = kDouble ? 1 / s.grad_scale : double(float(1 / s.grad_scale));
  const fo::GradArgs grad{s.hyper[fo::kMaximize] != 0 ? -unscale : unscale, clip, 0};
  const Sync sync = s.rule->sync(s.hyper.data(), s.t);
  if (observed) observed->clear();
  for (TestTensor& t : world->tensors) {
    Decoded<Real> x(t);
    alignas(16) unsigned char coef[fo::kMaxCoefBytes];
    double scalars[fo::kMaxScalars] = {};
    std::copy(s.rule->scalar_initial.begin(), s.rule->scalar_initial.end(), scalars);
    math.prepare(s.hyper.data(), s.t, scalars, coef);
    if (s.rule->sums > 0) {
      double sums[fo::kMaxSums] = {};
      for (size_t at = 0; at < t.length; at += fo::kSumBlock)
        kernels.measure[s.mode()](x.args, at, std::min(fo::kSumBlock, t.length - at), grad, coef, sums);
      math.whole(s.hyper.data(), {sums, double(t.length), 2}, coef);
      x.encode_states(t);
      x.decode_states(t);
    }
    double squares[fo::kObservedSums] = {};
    const double alpha = s.sync ? double(s.alpha) : sync.alpha;
    const fo::Extras extras{s.slow && (s.sync || sync.due), kDouble ? alpha : double(float(alpha)), squares};
    const size_t columns = t.columns ? t.columns : std::max<size_t>(1, t.length);
    for (size_t row = 0; row * columns < t.length; ++row) {
      fo::GradArgs own = grad;
      if (t.columns) own.shift = kDouble ? clip * t.means64[row] : double(float(clip) * t.means[row]);
      kernels.observe[s.mode()](x.args, row * columns, columns, own, coef, extras);
    }
    if (observed) observed->insert(observed->end(), squares, squares + fo::kObservedSums);
    x.encode_states(t);
    x.encode_param(t, uint32_t(s.t));
  }
}

}  // namespace fo_test
