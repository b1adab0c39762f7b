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

// Out of line, so that its registers are not those of the loop.
FO_CALLED void advance_called(const AdvanceArgs& args, int thread) { advance_clocks(args, thread); }

template <class Real>
struct Squares {
  using Args = PassArgs;
  static constexpr bool kDoubles = std::is_same<Real, double>::value;
  struct Shared {
    Real sums[2][kThreads];  // of squares, and the threads that saw what is not finite
  };

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
    const Range range = share(block, args.chunk_count);
    for (uint32_t i = range.begin; i < range.end; ++i) {
      const Chunk chunk = args.chunks[i];
      const TensorRow& row = args.tensors[chunk.tensor];
      const Slot& slot = (args.slots ? args.slots : args.inline_slots)[row.slot];
      // Where there is a control, slots may be filled in this very launch.
      const float unscale = args.control ? unscale_of(*args.control, args.scale)
                            : args.scale ? lane::divide(1.f, *args.scale)
                                         : slot.unscale;
      block.each([&](int thread) {
        bool bad = false;
        m.sums[0][thread] = any(View{row, slot}, chunk.index, unscale, thread, &bad);
        m.sums[1][thread] = bad;
      });
      add_up(block, m.sums, 2);
      block.each([&](int thread) {
        if (thread != 0) return;
        const float total = float(m.sums[0][0]);
        if constexpr (kDoubles) {
          if (args.observed) static_cast<double*>(args.observed)[i] = m.sums[0][0];
        }
        // Squares of large numbers may overflow where all of them are finite.
        static_cast<float*>(args.partials)[i] =
            !is_finite_bits(bits_of(total)) && m.sums[1][0] == 0 ? FLT_MAX : total;
      });
      block.sync();
    }
  }

  FO_DEVICE Real any(const View& view, uint32_t index, float unscale, int thread, bool* bad) {
    if constexpr (kDoubles) {
      if (view.row.format.grad == DType::kF64) return of<Double>(view, index, unscale, thread, bad);
    }
    return of<Mixed>(view, index, unscale, thread, bad);
  }

  template <class F>
  FO_DEVICE typename F::Real of(const View& view, uint32_t index, float unscale, int thread, bool* bad) {
    using V = typename F::V;
    using S = Sums<V, 1, F::E>;
    S sums;
    const TensorRow& row = view.row;
    const DType type = row.format.grad;
    each_place<F>(row, whole_chunk(index), thread, [&](const Place& at) {
      typename F::Raw raw;
      typename F::Reals g;
      F::template fetch<false>(raw, view, row.grad, type, kGradStream, at);
      F::decode(g, raw, type);
      FO_UNROLL
      for (int e = 0; e < F::E; ++e) {
        const V x = V(typename F::Real(unscale)) * V(g.x[e]);
        const typename S::Part part{sums, e, at.has(e)};
        part.square(0, x);
        if (!((x - x).x == 0)) *bad = true;
      }
    });
    return sums.total(0);
  }
};

template <class Real>
struct Means {
  using Args = MeansArgs;
  static constexpr bool kDoubles = std::is_same<Real, double>::value;
  static constexpr int kTeam = 32, kTeams = kThreads / kTeam;  // threads that share a row
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
      block.sync();
      for (int width = kTeam / 2; width > 0; width /= 2) {
        block.each([&](int thread) {
          if (thread % kTeam < width) m.sums[thread] = m.sums[thread] + m.sums[thread + width];
        });
        block.sync();
      }
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
