#include "divide.h"

#include <algorithm>

#include "block.h"

namespace fo::cuda {

void divide(Device& device, void* data, size_t length, DType type, double by, StreamHandle stream) {
  if (length == 0) return;
  const DivideArgs args{data, length, by, float(by), type};
  const int blocks = int(std::min<size_t>(length / kThreads + 1, size_t(1) << 20));
  device.launch(*divide_kernel(type), blocks, &args, stream);
}

}  // namespace fo::cuda
