#pragma once
// Which instruction sets this build has kernels for, and which of them this machine can run.
#include <string>
#include <vector>

#include "../core/codecs.h"
#include "../core/kernel.h"
#include "gemm.h"

namespace fo {

struct Isa {
  const char* name;
  const RuleKernels* const* kernels;  // dtype row by rule
  const Codecs* codecs;
  const GemmKernels* gemm;
  std::vector<std::string> missing;  // what this machine lacks; empty: it can run
  bool native_bf16;                  // it can run gemm->bf16_native
};

// From the plainest to the widest.
const std::vector<Isa>& isas();
const Isa* find_isa(const std::string& name);

}  // namespace fo
