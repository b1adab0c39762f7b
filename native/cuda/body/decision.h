#pragma once
// What every launch of a step finds out by itself, all its blocks alike: whether the step is made, and by
// what gradients are clipped. And the end of a step.
#include <type_traits>

#include "../../vec/convert.h"
#include "../../vec/cuda.h"
#include "../kernels.h"
#include "sums.h"

namespace fo::cuda {

constexpr uint32_t kPropagate = 0;  // of NonFinite

template <class Real>
struct Decision {
  Real clip;
  float norm;      // -1: not measured
  int bad_tensor;  // -1: none
  uint32_t apply;
};

template <class Real>
struct DecisionMemory {
  Decision<Real> made;
  Real sums[1][kThreads];
  uint32_t bad[kThreads];  // the first run of chunks that is not finite
};

// As torch's clip_grad_norm_; a NaN stays one.
template <class Real>
FO_DEVICE Real clip_of(Real norm, Real max_norm) {
  const Real factor = lane::divide(max_norm, lane::add(norm, Real(1e-6)));
  return factor >= 1 ? Real(1) : factor;
}

template <class Real, class Block>
FO_DEVICE void decide(Block& block, const PassArgs& args, DecisionMemory<Real>& m) {
  constexpr uint32_t kNone = ~0u;
  constexpr bool kIsDouble = std::is_same<Real, double>::value;
  if (args.grad_partials) {
    block.each([&](int thread) {
      const Real* partials;
      if constexpr (kIsDouble) {
        partials = args.grad_partials64;
      } else {
        partials = args.grad_partials;
      }
      const Real sum = part_of_sum(partials, 1, args.grad_count, thread);
      uint32_t bad = kNone;
      if (!((sum - sum) == 0)) {
        for (uint32_t i = uint32_t(thread); i < args.grad_count && bad == kNone; i += kThreads)
          if (!is_finite_bits(bits_of(args.grad_partials[i]))) bad = i;
      }
      m.sums[0][thread] = sum, m.bad[thread] = bad;
    });
    fold(block, [&](int to, int from) {
      m.sums[0][to] = m.sums[0][to] + m.sums[0][from];
      if (m.bad[from] < m.bad[to]) m.bad[to] = m.bad[from];
    });
  }
  block.each([&](int thread) {
    if (thread != 0) return;
    Decision<Real> d{Real(args.clip), -1, -1, 1};
    if (args.grad_partials) {
      const Real norm = lane::root(m.sums[0][0]);
      d.norm = float(norm);
      if (args.max_norm > 0) {
        if constexpr (kIsDouble) {
          d.clip = clip_of(norm, args.max_norm64);
        } else {
          d.clip = clip_of(norm, args.max_norm);
        }
      }
      if (m.bad[0] != kNone) {
        const uint32_t chunk = args.bad_chunks ? args.bad_chunks[m.bad[0]] : m.bad[0];
        d.bad_tensor = int(args.grad_chunks[chunk].tensor);
      }
      if (d.bad_tensor >= 0 && args.policy != kPropagate) d.apply = 0;
    }
    if (args.found_inf && *args.found_inf != 0) d.apply = 0;
    m.made = d;
  });
  block.sync();
}

// The end of a step, by the first block of its last launch.
template <class Real, class Block>
FO_DEVICE void finish(Block& block, const PassArgs& args, const Decision<Real>& d) {
  if (!args.last || block.index() != 0) return;
  block.each([&](int thread) {
    for (uint32_t i = uint32_t(thread); d.apply && args.clocks && i < args.clock_count; i += kThreads) {
      Clock& clock = args.clocks[i];
      // Words, since these kernels compute nothing in double.
      copy_word(&clock.t, &clock.next_t, 0), copy_word(&clock.t, &clock.next_t, 1);
      for (int k = 0; k < kWords<double> * kMaxScalars; ++k)
        copy_word(&clock.scalars, &clock.next_scalars, k);
    }
    if (thread != 0) return;
    if (args.control && d.apply) {
      ++args.control->applied;
      if (args.control->lookahead_k > 0) ++args.control->lookahead_now;
    }
    if (!args.outcomes) return;
    const uint64_t serial = args.control ? args.control->serial : args.serial;
    volatile Outcome& outcome = args.outcomes[serial % kOutcomes];
    outcome.grad_norm = d.norm;
    outcome.bad_tensor = d.bad_tensor;
    outcome.applied = d.apply;
    // The host, which looks at the serial, must not see it before the rest.
#if defined(__CUDACC__)
    __threadfence_system();
#else
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
    outcome.serial = serial;
  });
}

}  // namespace fo::cuda
