#pragma once
// A pass over the chunks of a class, every block a contiguous range of them: one that takes sums over whole
// chunks in a grid that stays, an update alone in pieces of chunks, a block each.
#include "blocks8.h"
#include "decision.h"
#include "known_flavors.h"
#include "lanes.h"

namespace fo::cuda {

// Whether blocks may take less than a chunk. Of 16 bits a chunk is little enough.
template <class Rule, class F, PassKind kPass>
constexpr bool kInPiecesOf =
    kPass == kUpdatePass && Rule::kSums == 0 && (F::kFastPath || std::is_same<F, Double>::value) &&
    !std::is_same<F, Bf16>::value;

template <class Rule, int M, class F, PassKind kPass>
struct Pass {
  using Args = PassArgs;
  using Real = typename F::Real;
  using L = Lanes<Rule, M, F, kPass>;
  static constexpr int kSums = kPass == kObservePass   ? int(kObservedSums)
                               : kPass == kMeasurePass ? Rule::kSums
                                                       : 0;
  // Sums a chunk has, and sums that a norm rule's update needs of the whole tensor.
  static constexpr bool kFinishes = Rule::kSums > 0 && kPass != kMeasurePass;
  static constexpr int kRows = kFinishes && kSums < Rule::kSums ? Rule::kSums : kSums > 0 ? kSums : 1;

  using ThreadSums =
      std::conditional_t<(kSums > 0), Sums<typename F::V, (kSums > 0 ? kSums : 1), F::E>, NoSums>;
  static constexpr bool kInPieces = kInPiecesOf<Rule, F, kPass>;
  static constexpr bool kBlocks = std::is_same<F, Blocks8>::value;
  static_assert(!kBlocks || Rule::kStates <= kStates8, "see blocks8.h");
  struct Nothing {};

  struct Shared {
    TensorRow row;
    Slot slot;
    uint32_t tensor, end;  // what the block is at, and the end of its share: here, not in registers
    DecisionMemory<Real> decision;
    Real sums[kRows][kThreads];
    std::conditional_t<kBlocks, Blocks8Memory, Nothing> blocks;
  };

  template <class Block>
  FO_DEVICE void run(Block& block, const PassArgs& args) {
    Shared& m = block.shared();
    if constexpr (kBlocks) {
      // What follows begins with a sync.
      block.each([&](int thread) {
        for (int i = thread; i < 2 * kWords<Dynamic8>; i += kThreads)
          copy_word(&m.blocks.maps[i / kWords<Dynamic8>], &kMaps8[i / kWords<Dynamic8>],
                    i % kWords<Dynamic8>);
      });
    }
    decide(block, args, m.decision);
    if (m.decision.made.apply) chunks(block, args, m);
    finish(block, args, m.decision.made);
  }

  template <class Block>
  FO_DEVICE void chunks(Block& block, const PassArgs& args, Shared& m) {
    const uint32_t halvings = kInPieces ? args.halvings : 0, length = kChunk >> halvings;
    const Range range = share(block, args.chunk_count << halvings);
    block.each([&](int thread) {
      if (thread == 0) m.tensor = ~0u, m.end = range.end;
    });
    block.sync();
    for (uint32_t at = range.begin; at < m.end; ++at) {
      const uint32_t i = at >> halvings, begin = (at - (i << halvings)) * length;
      const Chunk chunk = args.chunks[i];
      if (chunk.tensor != m.tensor) {
        enter(block, args, m, chunk.tensor);
        if constexpr (kFinishes) finish_coef(block, args, m);
      }
      const Real& clip = m.decision.made.clip;
      if constexpr (kBlocks) {
        in_rounds(block, m, chunk.index);
      } else {
        block.each([&](int thread) {
          ThreadSums sums;
          L::piece({m.row, m.slot}, clip, {chunk.index, begin, begin + length}, thread, sums);
          if constexpr (kSums > 0) {
            for (int k = 0; k < kSums; ++k) m.sums[k][thread] = sums.total(k);
          }
        });
      }
      if constexpr (kSums > 0) {
        add_up(block, m.sums, kSums);
        Real* const to = static_cast<Real*>(kPass == kMeasurePass ? args.partials : args.observed);
        block.each([&](int thread) {
          if (thread < kSums && to) to[uint64_t(i) * kMaxSums + uint32_t(thread)] = m.sums[thread][0];
        });
        block.sync();
      }
    }
  }

  // A chunk whose states have 8 bits.
  template <class Block>
  FO_DEVICE void in_rounds(Block& block, Shared& m, uint32_t index) {
    const View view{m.row, m.slot, &m.blocks};
    const Real& clip = m.decision.made.clip;
    const uint32_t count = count_of(m.row, index);
    const auto place = [&](uint32_t first, int thread) {
      return Place{index, first + uint32_t(thread) * F::E, count};
    };
    for (uint32_t first = 0; first < count; first += kRound) {
      block.each([&](int thread) {
        const Place at = place(first, thread);
        for (int k = 0; k < Rule::kStates; ++k) m.blocks.magnitudes[k][thread] = 0;
        ThreadSums sums;
        if (at.first < count) L::template one<1>(view, clip, at, false, sums);
        if constexpr (kSums > 0) {
          for (int k = 0; k < kSums; ++k)
            m.sums[k][thread] = first == 0 ? sums.total(k) : lane::add(m.sums[k][thread], sums.total(k));
        }
      });
      block.sync();
      block.each([&](int thread) {
        for (int k = 0; k < Rule::kStates; ++k)
          if (L::used(k)) find_peaks(m.blocks, k, thread);
      });
      block.sync();
      block.each([&](int thread) {
        const Place at = place(first, thread);
        for (int k = 0; k < Rule::kStates; ++k)
          if (L::used(k) && at.first < count) F::encode_state(view, k, at, !(Rule::kNonNegative >> k & 1));
      });
    }
  }

  // What the tensor's elements have in common goes into shared memory.
  template <class Block>
  FO_DEVICE void enter(Block& block, const PassArgs& args, Shared& m, uint32_t tensor) {
    const TensorRow& row = args.tensors[tensor];
    const Slot& slot = (args.slots ? args.slots : args.inline_slots)[row.slot];
    block.sync();
    block.each([&](int thread) {
      static_assert(kWords<TensorRow> + kWords<Slot> <= kThreads, "a word each");
      copy_word(&m.row, &row, thread);
      copy_word(&m.slot, &slot, thread - kWords<TensorRow>);
      if (thread == 0) m.tensor = tensor;
    });
    block.sync();
  }

  // A norm rule's coefficients from the sums of the tensor's chunks.
  template <class Block>
  FO_DEVICE void finish_coef(Block& block, const PassArgs& args, Shared& m) {
    const Real* const partials =
        static_cast<const Real*>(args.partials) + uint64_t(m.row.first_chunk) * kMaxSums;
    block.each([&](int thread) {
      for (int k = 0; k < Rule::kSums; ++k)
        m.sums[k][thread] = part_of_sum(partials + k, kMaxSums, m.row.chunks, thread);
    });
    add_up(block, m.sums, Rule::kSums);
    block.each([&](int thread) {
      if (thread != 0) return;
      Real sums[Rule::kSums];
      for (int k = 0; k < Rule::kSums; ++k) sums[k] = m.sums[k][0];
      typename Rule::template HyperOf<Real> hyper;
      typename Rule::template Coef<Real> coef;
      std::memcpy(&hyper, m.slot.whole, sizeof hyper);
      std::memcpy(&coef, m.slot.coef, sizeof coef);
      Rule::whole(hyper, Whole<Real>{sums, Real(m.row.length), m.row.ndim}, coef);
      std::memcpy(m.slot.coef, &coef, sizeof coef);
    });
    block.sync();
  }
};

}  // namespace fo::cuda
