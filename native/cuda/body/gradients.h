#pragma once
// Passes over gradients alone: their squares, for clipping and the search for bad values, and the means of
// their rows, for centralization. Real is double where some gradients are float64: float kernels shall have
// no instructions of it.
#include <cfloat>
#include <type_traits>

#include "advance.h"
#include "flavors.h"
#include "sums.h"

namespace fo::cuda {

// The squares of a thread's part of a chunk.
struct ChunkSquares {
  View view;
  uint32_t chunk;
  float unscale;
  int thread;
  bool* bad;  // becomes true where a number is not finite

  template <class F, bool kWhole>
  FO_MEMBER typename F::Real of(DType type, uint32_t count) const {
    using V = typename F::V;
    using S = Sums<V, 1, F::E>;
    S sums;
    FO_UNROLL_BY((kWhole ? 8 : 1))
    for (uint32_t i = uint32_t(thread) * F::E; i < count; i += kThreads * F::E) {
      const Place at{chunk, i, count};
      typename F::Raw raw;
      typename F::Reals g;
      F::template fetch<kWhole>(raw, view, view.row.grad, type, kGradStream, at);
      F::decode(g, raw, type);
      FO_UNROLL
      for (int e = 0; e < F::E; ++e) {
        const V x = V(typename F::Real(unscale)) * V(g.x[e]);
        const typename S::Part part{sums, e, kWhole || at.has(e)};
        part.square(0, x);
        if (!((x - x).x == 0)) *bad = true;
      }
    }
    return sums.total(0);
  }
};

// A block takes whole runs of chunks. Its first thread adds up what warps have of a chunk, while they go on
// with the next.
template <class Real>
struct Squares {
  using Args = PassArgs;
  static constexpr bool kDoubles = std::is_same<Real, double>::value;
  static constexpr int kWarps = kThreads / kWarp;
  struct OfWarp {
    Real sum;
    bool bad;  // saw what is not finite
  };
  struct Shared {
    Real sums[kThreads];
    bool bad[kThreads];
    OfWarp warps[2][kWarps];  // of this chunk and the one before, which may still be read
    Real sum;                 // of the run so far
    uint32_t bad_chunk;       // the first of it
  };
  static constexpr uint32_t kNone = ~0u;

  template <class Block>
  FO_DEVICE void run(Block& block, const PassArgs& args) {
    if (args.rows && block.index() == 0) {
      const AdvanceArgs advance{
          args.control, args.clocks, args.clock_count, args.rows, const_cast<Slot*>(args.slots),
          args.shapes,  args.scale};
      block.each([&](int thread) { advance_called(advance, thread); });
      block.sync();
    }
    Shared& m = block.shared();
    block.each([&](int thread) {
      if (thread == 0) m.sum = 0, m.bad_chunk = kNone;
    });
    const Range runs = share(block, runs_of(args.chunk_count, args.run));
    const uint32_t most = runs.end << args.run, end = most < args.chunk_count ? most : args.chunk_count;
    int now = 0;
    for (uint32_t i = runs.begin << args.run; i < end; ++i, now ^= 1) {
      block.each([&](int thread) {
        bool bad = false;
        m.sums[thread] = part_of_chunk(args, i, thread, &bad);
        m.bad[thread] = bad;
      });
      fold_warps(block, [&](int to, int from) {
        m.sums[to] = m.sums[to] + m.sums[from], m.bad[to] = m.bad[to] || m.bad[from];
      });
      block.each([&](int thread) {
        if (thread % kWarp == 0) m.warps[now][thread / kWarp] = {m.sums[thread], m.bad[thread]};
      });
      block.sync();
      block.each([&](int thread) {
        if (thread != 0) return;
        OfWarp all = m.warps[now][0];
        for (int k = 1; k < kWarps; ++k)
          all.sum = all.sum + m.warps[now][k].sum, all.bad = all.bad || m.warps[now][k].bad;
        join(args, m, i, all);
      });
    }
  }

  // Adds a chunk to its run, and writes the run that it ends.
  FO_DEVICE void join(const PassArgs& args, Shared& m, uint32_t chunk, const OfWarp& all) {
    m.sum = m.sum + all.sum;
    if (all.bad && m.bad_chunk == kNone) m.bad_chunk = chunk;
    if (((chunk + 1) & ((1u << args.run) - 1)) != 0 && chunk + 1 != args.chunk_count) return;
    const uint32_t at = chunk >> args.run;
    const float total = float(m.sum);
    if constexpr (kDoubles) {
      if (args.observed) static_cast<double*>(args.observed)[at] = m.sum;
    }
    // Squares of large numbers may overflow where all of them are finite.
    static_cast<float*>(args.partials)[at] =
        !is_finite_bits(bits_of(total)) && m.bad_chunk == kNone ? FLT_MAX : total;
    if (args.bad_chunks) args.bad_chunks[at] = m.bad_chunk;
    m.sum = 0, m.bad_chunk = kNone;
  }

  FO_DEVICE Real part_of_chunk(const PassArgs& args, uint32_t i, int thread, bool* bad) {
    const Chunk chunk = args.chunks[i];
    const TensorRow& row = args.tensors[chunk.tensor];
    const Slot& slot = (args.slots ? args.slots : args.inline_slots)[row.slot];
    // Where there is a control, slots may be filled in this very launch.
    const float unscale = args.control ? unscale_of(*args.control, args.scale)
                          : args.scale ? lane::divide(1.f, *args.scale)
                                       : slot.unscale;
    const uint32_t count = count_of(row, chunk.index);
    const ChunkSquares own{{row, slot}, chunk.index, unscale, thread, bad};
    // Most chunks are whole and aligned, and nothing else uses the memory meanwhile: loads have to be many at
    // a time, with no branch between them.
    const bool whole = count == kChunk && (row.vectors >> kGradStream & 1) != 0;
    const DType type = row.format.grad;
    if constexpr (kDoubles) {
      if (type == DType::kF64)
        return whole ? own.of<Double, true>(DType::kF64, kChunk) : own.of<Double, false>(type, count);
    }
    if (!whole) return own.of<Mixed, false>(type, count);
    return type == DType::kF32    ? own.of<Mixed, true>(DType::kF32, kChunk)
           : type == DType::kBf16 ? own.of<Mixed, true>(DType::kBf16, kChunk)
                                  : own.of<Mixed, true>(DType::kF16, kChunk);
  }
};

template <class Real>
struct Means {
  using Args = MeansArgs;
  static constexpr bool kDoubles = std::is_same<Real, double>::value;
  static constexpr int kTeam = kWarp, kTeams = kThreads / kTeam;  // threads that share a row
  struct Shared {
    Real sums[kThreads];
    uint32_t tensor[kTeams];
  };

  template <class Block>
  FO_DEVICE void run(Block& block, const MeansArgs& args) {
    Shared& m = block.shared();
    const Range range = share(block, args.rows);
    for (uint32_t base = range.begin; base < range.end; base += kTeams) {
      block.each([&](int thread) {
        const uint32_t row = base + uint32_t(thread) / kTeam;
        if (row >= range.end) return;
        const uint32_t tensor = owner(args, row);
        if (thread % kTeam == 0) m.tensor[thread / kTeam] = tensor;
        m.sums[thread] =
            part_of_row(args, args.tensors[tensor], row - args.first_row[tensor], thread % kTeam);
      });
      fold_warps(block, [&](int to, int from) { m.sums[to] = m.sums[to] + m.sums[from]; });
      block.each([&](int thread) {
        const uint32_t row = base + uint32_t(thread) / kTeam;
        if (thread % kTeam != 0 || row >= range.end) return;
        const uint32_t number = m.tensor[thread / kTeam];
        const TensorRow& tensor = args.tensors[number];
        const uint32_t at = row - args.first_row[number];
        if constexpr (kDoubles) {
          if (tensor.format.grad == DType::kF64) {
            static_cast<double*>(tensor.means)[at] = lane::divide(m.sums[thread], double(tensor.columns));
            return;
          }
        }
        static_cast<float*>(tensor.means)[at] = float(lane::divide(m.sums[thread], Real(tensor.columns)));
      });
      block.sync();
    }
  }

  // The last tensor that begins at this row or before, of those that have rows.
  FO_DEVICE uint32_t owner(const MeansArgs& args, uint32_t row) {
    uint32_t low = 0, high = args.tensor_count;
    while (high - low > 1) {
      const uint32_t middle = low + (high - low) / 2;
      (args.first_row[middle] <= row ? low : high) = middle;
    }
    return low;
  }

  FO_DEVICE Real part_of_row(const MeansArgs& args, const TensorRow& tensor, uint32_t row, int lane) {
    constexpr uint32_t kRun = 32;
    const float unscale = (args.slots ? args.slots : args.inline_slots)[tensor.slot].unscale;
    const uint64_t first = row * tensor.columns;
    Real total = 0;
    for (uint64_t i = uint32_t(lane); i < tensor.columns;) {
      Real run = 0;
      for (uint32_t k = 0; k < kRun && i < tensor.columns; ++k, i += kTeam)
        run = run + element(tensor, first + i, unscale);
      total = total + run;
    }
    return total;
  }

  FO_DEVICE Real element(const TensorRow& tensor, uint64_t at, float unscale) {
    const void* const grad = tensor.grad;
    if constexpr (kDoubles) {
      if (tensor.format.grad == DType::kF64)
        return lane::multiply(double(unscale), global<8>(static_cast<const double*>(grad))[at]);
    }
    float x;
    if (tensor.format.grad == DType::kF32) {
      x = global<4>(static_cast<const float*>(grad))[at];
    } else {
      const uint16_t half = global<2>(static_cast<const uint16_t*>(grad))[at];
      x = tensor.format.grad == DType::kBf16 ? from_bf16(half) : from_f16(half);
    }
    return lane::multiply(unscale, x);
  }
};

}  // namespace fo::cuda
