#pragma once
// The beginning of a step whose counts are on the device: coefficients from clocks and rows of
// hyper-parameters. Nothing here is true before the step's last launch says so.
#include "../../vec/cuda.h"
#include "../kernels.h"
#include "../slot.h"
#include "access.h"

namespace fo::cuda {

// What gradients are multiplied by, but for its sign. 1 / scale is rounded once to either precision.
FO_DEVICE float unscale_of(const Control& control, const float* scale) {
  return scale ? lane::divide(1.f, *scale) : control.unscale;
}

// By any number of threads.
FO_DEVICE void advance_clocks(const AdvanceArgs& args, int thread) {
  const Control& control = *args.control;
  const bool meets = control.lookahead_k > 0 && (control.lookahead_now + 1) % control.lookahead_k == 0;
  const StepFacts facts{args.scale ? 1 / double(*args.scale) : control.unscale64, meets, control.alpha64};
  const uint64_t past = control.applied > control.first_row ? control.applied - control.first_row : 0;
  const uint64_t row = past < control.rows ? past : control.rows - 1;
  const double* const hypers = args.rows + row * control.hypers;
  for (uint32_t i = uint32_t(thread); i < args.clock_count; i += kThreads) {
    Clock& clock = args.clocks[i];
    const double t = clock.t + 1;
    for (uint32_t k = 0; k < clock.slots; ++k) {
      const uint32_t slot = clock.first_slot + k;
      double scalars[kMaxScalars];
      for (int j = 0; j < kMaxScalars; ++j) scalars[j] = clock.scalars[j];
      fill_slot(&args.slots[slot], clock.rule, clock.is_double != 0, hypers + clock.hyper, t, scalars,
                args.shapes ? args.shapes + 2 * slot : nullptr, facts);
      for (int j = 0; j < kMaxScalars; ++j) clock.next_scalars[j] = scalars[j];
    }
    clock.next_t = t;
  }
  if (thread == 0) ++args.control->serial;
}

// Out of line, so that its registers are not those of a loop.
FO_CALLED void advance_called(const AdvanceArgs& args, int thread) { advance_clocks(args, thread); }

struct Advance {
  using Args = AdvanceArgs;
  struct Shared {};
  template <class Block>
  FO_DEVICE void run(Block& block, const AdvanceArgs& args) {
    if (block.index() == 0) block.each([&](int thread) { advance_called(args, thread); });
  }
};

}  // namespace fo::cuda
