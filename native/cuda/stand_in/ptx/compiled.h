#pragma once
// Kernels as nvcc has compiled them, in place of the same bodies as host code.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "../../device.h"

namespace fo::cuda::stand_in {

// The body, by the name of its type, and the blocks that a function of the executor is a kernel for.
void know_body(const void* function, const char* type, int blocks);

// Runs the blocks of a launch in this order: by the PTX files of FUSED_OPTIM_STAND_IN_PTX (paths between
// colons), and complains of what is refused; as host code where there are none, or no kernel's body is known:
// a test's own. `owns`: whether PTX may touch these bytes.
void run_blocks(const Kernel& kernel, const std::vector<int>& order, const void* args, uint64_t seed,
                const std::function<bool(uint64_t address, size_t bytes)>& owns);

}  // namespace fo::cuda::stand_in
