#pragma once
// What states begin with: one value, or the parameter in float32.
#include "../../vec/convert.h"
#include "../block.h"
#include "../start.h"

namespace fo::cuda {

struct Start {
  using Args = StartArgs;
  struct Shared {};

  template <class Block>
  FO_DEVICE void run(Block& block, const StartArgs& args) {
    const uint64_t all = uint64_t(block.count()) * kThreads;
    block.each([&](int thread) {
      for (uint64_t i = uint64_t(block.index()) * kThreads + uint64_t(thread); i < args.length; i += all)
        one(args, i);
    });
  }

  FO_DEVICE void one(const StartArgs& args, uint64_t i) {
    if (!args.from) {
      if (args.bytes == 2) static_cast<uint16_t*>(args.to)[i] = uint16_t(args.bits);
      if (args.bytes == 4) static_cast<uint32_t*>(args.to)[i] = uint32_t(args.bits);
      if (args.bytes == 8) static_cast<uint64_t*>(args.to)[i] = args.bits;
      return;
    }
    const uint16_t half = static_cast<const uint16_t*>(args.from)[i];
    float x = args.type == DType::kBf16 ? from_bf16(half) : from_f16(half);
    if (args.low) x = join(half, static_cast<const uint16_t*>(args.low)[i]);
    static_cast<float*>(args.to)[i] = x;
  }
};

}  // namespace fo::cuda
