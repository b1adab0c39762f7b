#pragma once
#include "../../vec/convert.h"
#include "../block.h"
#include "../divide.h"

namespace fo::cuda {

// Real: what is divided in.
template <class Real>
struct Divide {
  using Args = DivideArgs;
  struct Shared {};

  template <class Block>
  FO_DEVICE void run(Block& block, const DivideArgs& args) {
    const uint64_t all = uint64_t(block.count()) * kThreads;
    Real by;
    if constexpr (sizeof(Real) == sizeof(float)) {
      by = args.by;
    } else {
      by = args.by64;
    }
    block.each([&](int thread) {
      for (uint64_t i = uint64_t(block.index()) * kThreads + uint64_t(thread); i < args.length; i += all)
        one(args, i, by);
    });
  }

  FO_DEVICE void one(const DivideArgs& args, uint64_t i, Real by) {
    auto* const halves = static_cast<uint16_t*>(args.data);
    auto* const reals = static_cast<Real*>(args.data);
    if (args.type == DType::kBf16) {
      halves[i] = to_bf16(float(from_bf16(halves[i]) / by));
    } else if (args.type == DType::kF16) {
      halves[i] = to_f16(float(from_f16(halves[i]) / by));
    } else {
      reals[i] = reals[i] / by;
    }
  }
};

}  // namespace fo::cuda
