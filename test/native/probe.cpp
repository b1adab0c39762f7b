// Prints the instruction sets this machine can run, one a line, so that the build knows what to emulate.
#include <cstdio>

#include "../../native/cpu/isa.h"

extern "C" {
const fo::RuleKernels* const* fo_kernels_scalar() { return nullptr; }
const fo::RuleKernels* const* fo_kernels_avx2() { return nullptr; }
const fo::RuleKernels* const* fo_kernels_avx512() { return nullptr; }
}

int main() {
  for (const fo::Isa& isa : fo::isas())
    if (isa.missing.empty()) std::printf("%s\n", isa.name);
}
