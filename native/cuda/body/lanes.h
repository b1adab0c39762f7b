#pragma once
// A thread's work on a few elements: the loop body of every pass. The order of operations is that of
// cpu/kernels.cpp, so that the bits are.
#include <type_traits>

#include "../../rules/rules.h"
#include "flavors.h"
#include "sums.h"

namespace fo::cuda {

enum PassKind { kUpdatePass, kObservePass, kMeasurePass };

// Of two forms of a number, the one of the precision that is computed in.
template <class Real>
FO_DEVICE Real number(float single, double full) {
  if constexpr (std::is_same<Real, double>::value) {
    return full;
  } else {
    return single;
  }
}

template <class Rule, int M, class F, PassKind kPass>
struct Lanes {
  using Real = typename F::Real;
  using V = typename F::V;
  using Reals = typename F::Reals;
  static constexpr int E = F::E, kStates = Rule::kStates;
  static constexpr bool kMeasures = kPass == kMeasurePass;
  template <bool kFast>
  static constexpr bool kGuesses = kFast && kPass == kUpdatePass && std::is_same<Real, float>::value;
  static constexpr bool used(int k) { return Rule::uses(M) >> k & 1; }
  static constexpr bool written(int k) {
    return used(k) && bool(Rule::measure_writes(M) >> k & 1) == kMeasures;
  }

  // The streams that have to be aligned for the fast path.
  FO_DEVICE unsigned streams(const TensorRow& row) {
    unsigned mask = F::weight_streams(row) | 1u << kGradStream;
    for (int k = 0; k < kStates; ++k)
      if (used(k)) mask |= 1u << (kFirstState + k);
    return mask;
  }

  // Where a place begins among the rows of a tensor that is centralized.
  struct RowPlace {
    uint32_t row, left;  // elements left in the row, as far as it matters
  };
  FO_DEVICE uint32_t few(uint64_t n) { return n < uint64_t(E) ? uint32_t(n) : uint32_t(E); }
  FO_DEVICE RowPlace row_place(const TensorRow& tensor, const Place& at) {
    if (!tensor.means) return {0, 0};
    const uint64_t columns = tensor.columns;
    const bool narrow = (tensor.length | columns) >> 32 == 0;  // dividing 64 bits takes 100 instructions
    const uint32_t row = narrow ? uint32_t(at.at()) / uint32_t(columns) : uint32_t(at.at() / columns);
    return {row, few((row + uint64_t(1)) * columns - at.at())};
  }
  // Takes the means of their rows from gradients.
  FO_DEVICE void center(V (&g)[E], const TensorRow& tensor, const Place& at, RowPlace place, V clip) {
    const Real* const means = static_cast<const Real*>(tensor.means);
    if (!means) return;
    FO_UNROLL
    for (int e = 0; e < E; ++e) {
      if (at.has(e)) g[e] = g[e] - clip * V(global<sizeof(Real)>(means)[place.row]);
      if (--place.left == 0) ++place.row, place.left = few(tensor.columns);
    }
  }

  // Updates of the fast path guess quotients and roots, and leave elements for which a guess may be wrong to
  // the other. False: nothing was written.
  template <bool kFast, class S>
  FO_DEVICE bool run(const View& view, const Slot& slot, const Real& clip_factor, const Place& at, S& sums) {
    forget();
    const TensorRow& row = view.row;
    RowPlace row_at{};
    if constexpr (Rule::kCentralizes) row_at = row_place(row, at);
    typename F::Weights weights;
    typename F::Raw raw_grad, raw[kStates + 1];
    F::template fetch_weights<kFast>(weights, view, at);
    F::template fetch<kFast>(raw_grad, view, row.grad, row.format.grad, kGradStream, at);
    FO_UNROLL
    for (int k = 0; k < kStates; ++k)
      if (used(k)) F::template fetch_state<kFast>(raw[k], view, k, at);

    Reals p, g, s[kStates + 1];
    F::decode_weights(p, weights, view);
    F::decode(g, raw_grad, row.format.grad);
    FO_UNROLL
    for (int k = 0; k < kStates; ++k)
      if (used(k)) F::decode_state(s[k], raw[k], view, k, at, !(Rule::kNonNegative >> k & 1));

    typename Rule::template Coef<Real> coef;
    std::memcpy(&coef, slot.coef, sizeof coef);
    const V unscale(number<Real>(slot.unscale, slot.unscale64)), clip(clip_factor);
    V gradient[E];
    FO_UNROLL
    for (int e = 0; e < E; ++e) gradient[e] = clip * (unscale * V(g.x[e]));
    if constexpr (Rule::kCentralizes) center(gradient, row, at, row_at, clip);

    using Number = std::conditional_t<kGuesses<kFast>, lane::Quick, V>;
    V next[E];
    bool bad = false;
    FO_UNROLL
    for (int e = 0; e < E; ++e) {
      Number own[kStates + 1], weight(p.x[e]);
      FO_UNROLL
      for (int k = 0; k < kStates; ++k)
        if (used(k)) own[k] = Number(s[k].x[e]);
      if constexpr (kMeasures) {
        typename S::Part part{sums, e, at.has(e)};
        Rule::template measure<M>(weight, gradient[e], own, coef, part);
      } else {
        Rule::template update<M>(weight, Number(gradient[e].x), own, coef);
      }
      next[e] = V(weight.x);
      if constexpr (kGuesses<kFast>) bad = bad || weight.bad;
      FO_UNROLL
      for (int k = 0; k < kStates; ++k) {
        if (!used(k)) continue;
        s[k].x[e] = own[k].x;
        if constexpr (kGuesses<kFast>) bad = bad || own[k].bad;
      }
    }
    if (bad) return false;
    forget();
    if constexpr (!kMeasures) {
      if (slot.sync) meet_slow<kFast>(next, view, slot, at);
    }
    FO_UNROLL
    for (int k = 0; k < kStates; ++k)
      if (written(k)) F::template put_state<kFast>(view, k, at, s[k]);
    if constexpr (kPass == kObservePass) {
      FO_UNROLL
      for (int e = 0; e < E; ++e) {
        const typename S::Part part{sums, e, at.has(e)};
        part.square(kGradSquares, unscale * V(g.x[e]));
        part.square(kUpdateSquares, next[e] - V(p.x[e]));
        part.square(kParamSquares, V(p.x[e]));
      }
    }
    if constexpr (!kMeasures) {
      FO_UNROLL
      for (int e = 0; e < E; ++e) p.x[e] = next[e].x;
      F::template put_weights<kFast>(view, at, p, weights);
    }
    return true;
  }

  // Weights and slow weights, which have the precision that is computed in, meet.
  template <bool kFast>
  FO_DEVICE void meet_slow(V (&p)[E], const View& view, const Slot& slot, const Place& at) {
    const bool vector = view.template vector<E>(kFirstState + kStates, at);
    Real* const slow = static_cast<Real*>(view.row.states[kStates]);
    Reals x;
    read<false>(x, slow, at, vector);
    FO_UNROLL
    for (int e = 0; e < E; ++e) {
      const V old(x.x[e]);
      p[e] = fma(V(number<Real>(slot.alpha, slot.alpha64)), p[e] - old, old);
      x.x[e] = p[e].x;
    }
    write<false>(slow, x, at, vector);
  }

  // Elements of one thread in a chunk that has all of them, or the first of them.
  template <class S>
  FO_DEVICE void one(const View& view, const Real& clip, const Place& at, bool aligned, S& sums) {
    if constexpr (kPass == kUpdatePass && F::kFastPath) {
      if (!(aligned && at.whole(E) && run<true>(view, view.slot, clip, at, sums)))
        rare(view.row, view.slot, clip, at);
    } else if constexpr (kMeasures && F::kFastPath) {
      if (aligned && at.whole(E)) {
        run<true>(view, view.slot, clip, at, sums);
      } else {
        run<false>(view, view.slot, clip, at, sums);
      }
    } else {
      run<false>(view, view.slot, clip, at, sums);
    }
  }
  // Out of line, so that its registers are not those of the loop; one by one where that is less code.
  FO_CALLED void rare(const TensorRow& row, const Slot& slot, const Real& clip, Place at) {
    NoSums none;
    using Single = typename F::Single;
    if constexpr (std::is_same<Single, F>::value) {
      run<false>({row, slot}, slot, clip, at, none);
    } else {
      const uint32_t end = at.whole(E) ? at.first + E : at.count;
      FO_NO_UNROLL
      for (uint32_t i = at.first; i < end; ++i)
        Lanes<Rule, M, Single, kPass>::template run<false>({row, slot}, slot, clip, {at.chunk, i, i + 1},
                                                           none);
    }
  }

  // A thread's part of a piece of a chunk.
  template <class S>
  FO_DEVICE void piece(const View& view, const Real& clip, const Piece& piece, int thread, S& sums) {
    const unsigned needed = streams(view.row);
    const bool aligned = F::kFastPath && (view.row.vectors & needed) == needed;
    each_place<F>(view.row, piece, thread, [&](const Place& at) { one(view, clip, at, aligned, sums); });
  }
};

}  // namespace fo::cuda
