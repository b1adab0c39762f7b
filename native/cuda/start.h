#pragma once
// Filling new states (start.cpp).
#include <cstddef>
#include <cstdint>

#include "../core/formats.h"
#include "device.h"

namespace fo::cuda {

// `length` elements of `to`: `bits`, in as many bytes; or where there is a `from` of 16 bits, that as
// float32, which has its lower half in `low` if any.
struct StartArgs {
  void* to;
  uint64_t length, bits;
  uint32_t bytes;
  DType type;
  const void *from, *low;
};

const Kernel* start_kernel();  // StartArgs

}  // namespace fo::cuda
