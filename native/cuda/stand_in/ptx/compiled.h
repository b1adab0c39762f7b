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

// Runs a launch by the PTX files of FUSED_OPTIM_STAND_IN_PTX (paths between colons), in this order of blocks.
// `owns`: whether it may touch these bytes. False where there are no files, or no kernel's body is known: a
// test's own. Complains of what is refused.
bool run_compiled(const Kernel& kernel, const std::vector<int>& blocks, const void* args, uint64_t seed,
                  const std::function<bool(uint64_t address, size_t bytes)>& owns);

}  // namespace fo::cuda::stand_in
