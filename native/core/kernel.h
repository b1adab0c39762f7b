#pragma once
// The plain-C face of a kernel: what every backend shares. Includes nothing of ours, so that the files
// compiled per instruction set stay free of inline code that a linker could merge across them.
#include <cstddef>
#include <cstdint>

namespace fo {

constexpr int kMaxStates = 4;
constexpr int kMaxModes = 4;
constexpr int kMaxScalars = 2;
constexpr size_t kMaxCoefBytes = 96;

// Memory of one tensor.
struct TensorArgs {
  void* param;
  const void* grad;
  void* states[kMaxStates];
};

// Updates `count` elements from element `begin`. The gradient is multiplied by grad_scale first (-1 to
// maximize).
using Kernel = void (*)(const TensorArgs& tensor, size_t begin, size_t count, float grad_scale,
                        const void* coef);

struct RuleKernels {
  Kernel mode[kMaxModes];
};

}  // namespace fo
