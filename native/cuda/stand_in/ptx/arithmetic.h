#pragma once
// What instructions compute: values are bits, in the low bytes of 64.
#include <cstdint>
#include <random>

#include "code.h"

namespace fo::cuda::stand_in::ptx {

// `a`, `b` and `c` are the operands behind the target. `random`: by how much approximations are off.
// Throws std::runtime_error for what is not known.
uint64_t compute(const Instruction& instruction, uint64_t a, uint64_t b, uint64_t c,
                 std::minstd_rand* random);

uint64_t low_bytes(uint64_t value, uint8_t bytes);
uint64_t extended(uint64_t value, Type type);  // by its sign, where it has one

}  // namespace fo::cuda::stand_in::ptx
