// Prints the instruction sets this machine can run, one a line, so that the build knows what to emulate.
#include <cstdio>

#include "../../native/cpu/isa.h"

static const fo::GemmKernels no_gemm = {};

extern "C" {
const fo::RuleKernels* const* fo_kernels_scalar() { return nullptr; }
const fo::RuleKernels* const* fo_kernels_avx2() { return nullptr; }
const fo::RuleKernels* const* fo_kernels_avx512() { return nullptr; }
const fo::Codecs* fo_codecs_scalar() { return nullptr; }
const fo::Codecs* fo_codecs_avx2() { return nullptr; }
const fo::Codecs* fo_codecs_avx512() { return nullptr; }
const fo::GemmKernels* fo_gemm_scalar() { return &no_gemm; }
const fo::GemmKernels* fo_gemm_avx2() { return &no_gemm; }
const fo::GemmKernels* fo_gemm_avx512() { return &no_gemm; }
}

int main() {
  for (const fo::Isa& isa : fo::isas())
    if (isa.missing.empty()) std::printf("%s\n", isa.name);
}
