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

// Three states or means are too much for the registers that a kernel of known formats, or for groups of
// elements, should keep to.
template <class Rule, int M>
constexpr bool kIsSlim = !Rule::kCentralizes && (Rule::kStates < 3 || (Rule::uses(M) & 7) != 7);

// Nor are there registers for a second group of four of what has many coefficients or terms, by the
// compiler's report.
template <class Rule>
constexpr bool kHasManyTerms = std::is_same<Rule, NAdam>::value || std::is_same<Rule, RAdam>::value ||
                               std::is_same<Rule, RMSprop>::value;

template <class Rule, int M, class F, PassKind kPass>
struct Lanes {
  using Real = typename F::Real;
  using V = typename F::V;
  using Reals = typename F::Reals;
  static constexpr int E = F::E, kStates = Rule::kStates;
  static constexpr bool kMeasures = kPass == kMeasurePass;
  // Elements that a thread takes at a time. Where there are sums, their order does not depend on the GPU.
  static constexpr bool kHasGroups =
      kPass == kUpdatePass && F::kFastPath && (F::E == 2 || (kIsSlim<Rule, M> && !kHasManyTerms<Rule>));
  static constexpr int kGroups = !kHasGroups ? 1 : std::is_same<Rule, NAdam>::value ? 2 : F::kGroups;
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
  template <bool kFast, int G, class S>
  FO_DEVICE bool run(const View& view, const Slot& slot, const Real& clip_factor, const Place& at, S& sums) {
    forget();
    const TensorRow& row = view.row;
    RowPlace row_at[G] = {};
    if constexpr (Rule::kCentralizes) {
      FO_UNROLL
      for (int g = 0; g < G; ++g) row_at[g] = row_place(row, at.after(g * E));
    }
    typename F::Weights weights[G];
    typename F::Raw raw_grad[G], raw[kStates + 1][G];
    if constexpr (G == 1) {
      F::template fetch_weights<kFast>(weights[0], view, at);
      F::template fetch<kFast>(raw_grad[0], view, row.grad, row.format.grad, kGradStream, at);
      FO_UNROLL
      for (int k = 0; k < kStates; ++k)
        if (used(k)) F::template fetch_state<kFast>(raw[k][0], view, k, at);
    } else {
      F::fetch_weight_groups(weights, view, at);
      F::fetch_groups(raw_grad, view, row.grad, at);
      FO_UNROLL
      for (int k = 0; k < kStates; ++k)
        if (used(k)) F::fetch_groups(raw[k], view, row.states[k], at);
    }

    typename Rule::template Coef<Real> coef;
    std::memcpy(&coef, slot.coef, sizeof coef);
    const V unscale(number<Real>(slot.unscale, slot.unscale64)), clip(clip_factor);
    using Number = std::conditional_t<kGuesses<kFast>, lane::Quick, V>;
    Reals p, s[kStates + 1];
    // What is written in the end, of one group and of more; the latter as it is stored, to save registers.
    std::conditional_t<(G > 1), typename F::Held, NoSums> held[kStates + 1][G];
    std::conditional_t<(G > 1), typename F::HeldWeights, NoSums> held_weights[G];
    bool bad = false;
    FO_UNROLL
    for (int group = 0; group < G; ++group) {
      const Place own_at = at.after(group * E);
      Reals g;
      F::decode_weights(p, weights[group], view);
      F::decode(g, raw_grad[group], row.format.grad);
      FO_UNROLL
      for (int k = 0; k < kStates; ++k)
        if (used(k)) F::decode_state(s[k], raw[k][group], view, k, own_at, !(Rule::kNonNegative >> k & 1));
      V gradient[E];
      FO_UNROLL
      for (int e = 0; e < E; ++e) gradient[e] = clip * (unscale * V(g.x[e]));
      if constexpr (Rule::kCentralizes) center(gradient, row, own_at, row_at[group], clip);

      V next[E];
      FO_UNROLL
      for (int e = 0; e < E; ++e) {
        Number own[kStates + 1], weight(p.x[e]);
        FO_UNROLL
        for (int k = 0; k < kStates; ++k)
          if (used(k)) own[k] = Number(s[k].x[e]);
        if constexpr (kMeasures) {
          typename S::Part part{sums, e, own_at.has(e)};
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
      if constexpr (kPass == kObservePass) {
        if (slot.sync) meet_slow<kFast>(next, view, slot, own_at);
        FO_UNROLL
        for (int e = 0; e < E; ++e) {
          const typename S::Part part{sums, e, own_at.has(e)};
          part.square(kGradSquares, unscale * V(g.x[e]));
          part.square(kUpdateSquares, next[e] - V(p.x[e]));
          part.square(kParamSquares, V(p.x[e]));
        }
      }
      FO_UNROLL
      for (int e = 0; e < E; ++e) p.x[e] = next[e].x;
      if constexpr (G > 1) {
        FO_UNROLL
        for (int k = 0; k < kStates; ++k)
          if (written(k)) held[k][group] = F::hold(s[k]);
        held_weights[group] = F::hold_weights(p, weights[group], view, own_at);
      }
    }
    if (bad) return false;
    forget();
    if constexpr (G == 1) {
      FO_UNROLL
      for (int k = 0; k < kStates; ++k)
        if (written(k)) F::template put_state<kFast>(view, k, at, s[k]);
      if constexpr (!kMeasures) F::template put_weights<kFast>(view, at, p, weights[0]);
    } else {
      FO_UNROLL
      for (int k = 0; k < kStates; ++k)
        if (written(k)) F::put_groups(view, row.states[k], at, held[k]);
      F::put_weight_groups(view, at, held_weights);
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

  // Elements of one thread, as far as there are so many.
  template <int G, class S>
  FO_DEVICE void one(const View& view, const Real& clip, const Place& at, bool aligned, S& sums) {
    if constexpr (kPass == kUpdatePass && F::kFastPath) {
      if (!(aligned && at.whole(G * E) && run<true, G>(view, view.slot, clip, at, sums)))
        Lanes<Rule, M, typename F::Single, kPass>::rare(view.row, view.slot, clip, at.chunk, at.first, G * E);
    } else if constexpr (kMeasures && F::kFastPath) {
      if (aligned && at.whole(E)) {
        run<true, 1>(view, view.slot, clip, at, sums);
      } else {
        run<false, 1>(view, view.slot, clip, at, sums);
      }
    } else {
      run<false, 1>(view, view.slot, clip, at, sums);
    }
  }
  // Out of line, so that its registers are not those of the loop, and few elements at a time, which is less
  // code.
  FO_CALLED void rare(const TensorRow& row, const Slot& slot, const Real& clip, uint32_t chunk,
                      uint32_t first, uint32_t elements) {
    NoSums none;
    Place at{chunk, first, count_of(row, chunk)};
    if (at.whole(int(elements))) at.count = first + elements;
    FO_NO_UNROLL
    for (; at.first < at.count; at.first += E) run<false, 1>({row, slot}, slot, clip, at, none);
  }

  // A thread's part of a piece of a chunk.
  template <class S>
  FO_DEVICE void piece(const View& view, const Real& clip, const Piece& piece, int thread, S& sums) {
    const unsigned needed = streams(view.row);
    const bool aligned = F::kFastPath && (view.row.vectors & needed) == needed;
    View own = view;
    if (kGroups > 1) own.wide = F::kGroupBytes <= 16 || (view.row.wide & needed) == needed;
    each_place<kGroups * E>(view.row, piece, thread,
                            [&](const Place& at) { one<kGroups>(own, clip, at, aligned, sums); });
  }
};

}  // namespace fo::cuda
