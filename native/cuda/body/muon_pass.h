#pragma once
// Bodies of Muon's passes between tensors and packed matrices: directions into them, and weights from them.
#include "decision.h"
#include "lanes.h"
#include "muon_squares.h"

namespace fo::cuda {

template <class F>
struct MuonPass {
  using Args = MuonPassArgs;
  using Real = typename F::Real;
  using V = typename F::V;
  using Reals = typename F::Reals;
  using Coef = Muon::Coef<Real>;
  static constexpr int E = F::E;
  static_assert(4 % E == 0, "four packed elements are whole groups of a flavor's");

  struct Shared {
    TensorRow row;
    Slot slot;
    DecisionMemory<Real> decision;
    float sums[2][kThreads];
  };
  // What the elements of a matrix have in common.
  struct Common {
    View view;
    Coef coef;
    V unscale, clip;
    bool aligned;  // all streams
    uint64_t origin;
    uint32_t columns;
  };

  FO_DEVICE Common common_of(const Shared& m, const MuonMatrix& matrix, unsigned streams) {
    Common common{{m.row, m.slot},
                  {},
                  V(number<Real>(m.slot.unscale, m.slot.unscale64)),
                  V(m.decision.made.clip),
                  (m.row.vectors & streams) == streams,
                  matrix.origin,
                  matrix.columns};
    std::memcpy(&common.coef, m.slot.coef, sizeof common.coef);
    return common;
  }

  // Calls f.run<kFast>(place in the tensor, number of the first of E) for what is valid of four packed
  // elements.
  template <class Each>
  FO_DEVICE void each_group(const Common& common, uint32_t cols, uint32_t row, uint32_t column, Each& f) {
    const uint64_t first = common.origin + uint64_t(row) * common.columns + column;
    FO_UNROLL
    for (int k = 0; k < 4; k += E) {
      if (column + uint32_t(k) >= cols) break;
      const uint32_t left = cols - column - uint32_t(k);
      const uint64_t at = first + uint64_t(k);
      const uint32_t begin = uint32_t(at % kChunk);
      const Place place{uint32_t(at / kChunk), begin, begin + (left < E ? left : E)};
      if (common.aligned && place.whole(E)) {
        f.template run<true>(place, k);
      } else {
        f.template run<false>(place, k);
      }
    }
  }

  // Calls f(common, packed matrix, piece in it, number of the piece) for the block's pieces, in phases.
  template <class Block, class Each>
  FO_DEVICE void each_piece(Block& block, const Args& args, const Each& f) {
    Shared& m = block.shared();
    decide(block, args.pass, m.decision);
    if (!m.decision.made.apply) return;
    const uint32_t pieces = args.packed.pieces;
    const MuonRange range = range_of(block, uint64_t(args.packed.count) * pieces);
    uint64_t known = ~uint64_t(0);
    for (uint64_t at = range.begin; at < range.end; ++at) {
      const uint64_t q = at / pieces;
      const MuonMatrix matrix = args.matrices[q];
      if (q != known) enter(block, args, matrix);
      known = q;
      f(matrix, q * args.packed.stride, uint32_t(at % pieces), at);
    }
  }

  template <class Block>
  FO_DEVICE void enter(Block& block, const Args& args, const MuonMatrix& matrix) {
    Shared& m = block.shared();
    const TensorRow& row = args.pass.tensors[matrix.tensor];
    const Slot& slot = (args.pass.slots ? args.pass.slots : args.pass.inline_slots)[row.slot];
    block.sync();
    block.each([&](int thread) {
      static_assert(kWords<TensorRow> + kWords<Slot> <= kThreads, "a word each");
      copy_word(&m.row, &row, thread);
      copy_word(&m.slot, &slot, thread - kWords<TensorRow>);
    });
    block.sync();
    // A row of a matrix may begin anywhere in its tensor.
    if (matrix.origin % 4 == 0 && matrix.columns % 4 == 0) return;
    block.each([&](int thread) {
      if (thread == 0) m.row.vectors = 0;
    });
    block.sync();
  }
};

// Momentum, and directions into packed matrices.
template <class F>
struct MuonPack : MuonPass<F> {
  using P = MuonPass<F>;
  using Args = typename P::Args;
  using typename P::Common, typename P::Real, typename P::Reals, typename P::Shared, typename P::V;
  static constexpr int E = P::E;

  struct Four {
    const Common& common;
    MuonFour x{};
    float grad_squares = 0;

    template <bool kFast>
    FO_MEMBER void run(const Place& at, int first) {
      const View& view = common.view;
      const TensorRow& row = view.row;
      typename F::Raw raw_grad, raw_state;
      F::template fetch<kFast>(raw_grad, view, row.grad, row.format.grad, kGradStream, at);
      F::template fetch<kFast>(raw_state, view, row.states[0], row.format.state, kFirstState, at);
      Reals g, s;
      F::decode(g, raw_grad, row.format.grad);
      F::decode(s, raw_state, row.format.state);
      FO_UNROLL
      for (int e = 0; e < E; ++e) {
        const V unscaled = common.unscale * V(g.x[e]);
        V own[Muon::kStates] = {V(s.x[e])}, direction(Real(0));
        MuonMomentum::update<0>(direction, common.clip * unscaled, own, common.coef);
        s.x[e] = own[0].x;
        if (!at.has(e)) continue;
        x.x[first + e] = float(direction.x);
        grad_squares = lane::fused(float(unscaled.x), float(unscaled.x), grad_squares);
      }
      F::template put<kFast>(view, row.states[0], row.format.state, kFirstState, at, s);
    }
  };

  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    Shared& m = block.shared();
    const GemmType type = args.packed.type;
    P::each_piece(block, args, [&](const MuonMatrix& matrix, uint64_t base, uint32_t piece, uint64_t number) {
      block.each([&](int thread) {
        const Common common = P::common_of(m, matrix, 1u << kGradStream | 1u << kFirstState);
        float squares = 0, grad_squares = 0;
        each_four(piece, args.packed.rows, args.packed.ld, thread,
                  [&](uint32_t row, uint32_t column, uint64_t i) {
                    Four four{common};
                    P::each_group(common, args.packed.cols, row, column, four);
                    store_four(type, args.packed.data, base + i, four.x);
                    for (int k = 0; k < 4; ++k) {
                      const float x = type == GemmType::kBf16 ? from_bf16(to_bf16(four.x.x[k])) : four.x.x[k];
                      squares = lane::fused(x, x, squares);
                    }
                    grad_squares = lane::add(grad_squares, four.grad_squares);
                  });
        m.sums[0][thread] = squares;
        m.sums[1][thread] = grad_squares;
      });
      add_up(block, m.sums, 2);
      block.each([&](int thread) {
        if (thread != 0) return;
        args.sums[number] = m.sums[0][0];
        if (args.observed) args.observed[number * kObservedSums + kGradSquares] = m.sums[1][0];
      });
      block.sync();
    });
  }
};

// The weights, from orthogonalized directions.
template <class F>
struct MuonApply : MuonPass<F> {
  using P = MuonPass<F>;
  using Args = typename P::Args;
  using typename P::Common, typename P::Real, typename P::Reals, typename P::Shared, typename P::V;
  static constexpr int E = P::E;

  struct Four {
    const Common& common;
    const Slot& slot;
    MuonFour x;
    float update_squares = 0, param_squares = 0;

    template <bool kFast>
    FO_MEMBER void run(const Place& at, int first) {
      const View& view = common.view;
      typename F::Weights weights;
      F::template fetch_weights<kFast>(weights, view, at);
      Reals p;
      F::decode_weights(p, weights, view);
      V next[E];
      FO_UNROLL
      for (int e = 0; e < E; ++e) {
        next[e] = V(p.x[e]);
        Muon::update<0>(next[e], V(Real(x.x[first + e])), static_cast<V*>(nullptr), common.coef);
      }
      if (slot.sync) Lanes<Muon, 0, F, kUpdatePass>::template meet_slow<kFast>(next, view, slot, at);
      FO_UNROLL
      for (int e = 0; e < E; ++e) {
        const float before = float(p.x[e]), change = float((next[e] - V(p.x[e])).x);
        p.x[e] = next[e].x;
        if (!at.has(e)) continue;
        update_squares = lane::fused(change, change, update_squares);
        param_squares = lane::fused(before, before, param_squares);
      }
      F::template put_weights<kFast>(view, at, p, weights);
      if (view.row.direction) keep(view.row.direction + at.at(), at, first);
    }

    // Of numbers that are bfloat16 already the upper half is all.
    FO_MEMBER void keep(uint16_t* to, const Place& at, int first) {
      Pack<uint16_t, E> high;
      FO_UNROLL
      for (int e = 0; e < E; ++e) high.x[e] = uint16_t(bits_of(x.x[first + e]) >> 16);
      if (at.whole(E) && reinterpret_cast<uintptr_t>(to) % sizeof high == 0) return store(to, high);
      FO_UNROLL
      for (int e = 0; e < E; ++e)
        if (at.has(e)) to[e] = high.x[e];
    }
  };

  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    Shared& m = block.shared();
    P::each_piece(block, args, [&](const MuonMatrix& matrix, uint64_t base, uint32_t piece, uint64_t number) {
      block.each([&](int thread) {
        const Common common = P::common_of(m, matrix, F::weight_streams(m.row));
        float update_squares = 0, param_squares = 0;
        each_four(piece, args.packed.rows, args.packed.ld, thread,
                  [&](uint32_t row, uint32_t column, uint64_t i) {
                    if (column >= args.packed.cols) return;
                    Four four{common, m.slot, load_four(args.packed.type, args.packed.data, base + i)};
                    FO_UNROLL
                    for (float& x : four.x.x) x = lane::multiply(x, args.factor);
                    P::each_group(common, args.packed.cols, row, column, four);
                    update_squares = lane::add(update_squares, four.update_squares);
                    param_squares = lane::add(param_squares, four.param_squares);
                  });
        m.sums[0][thread] = update_squares;
        m.sums[1][thread] = param_squares;
      });
      if (!args.observed) return;
      add_up(block, m.sums, 2);
      block.each([&](int thread) {
        if (thread != 0) return;
        args.observed[number * kObservedSums + kUpdateSquares] = m.sums[0][0];
        args.observed[number * kObservedSums + kParamSquares] = m.sums[1][0];
      });
      block.sync();
    });
  }
};

}  // namespace fo::cuda
