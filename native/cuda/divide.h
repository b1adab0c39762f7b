#pragma once
// Numbers divided by one number, for means over ranks: NCCL's own average multiplies by a reciprocal, which
// rounds twice.
#include <cstddef>
#include <cstdint>

#include "../core/formats.h"
#include "device.h"

namespace fo::cuda {

struct DivideArgs {
  void* data;
  uint64_t length;
  double by64;  // both, so that a kernel of float32 has no float64
  float by;
  DType type;
};

const Kernel* divide_kernel(DType);  // DivideArgs

// Queues it.
void divide(Device&, void* data, size_t length, DType, double by, StreamHandle);

}  // namespace fo::cuda
