#pragma once
// The instruction sets a test runs on: what this machine can, and what the build emulates.
#include <string>
#include <vector>

#include "../../native/cpu/isa.h"

namespace fo_test {

// An instruction set emulated on AVX2, where AVX2 is.
inline bool emulated(const fo::Isa& isa) {
#ifdef FO_EMULATED
  return std::string(isa.name) == FO_EMULATED && fo::find_isa("avx2")->missing.empty();
#else
  return (void)isa, false;
#endif
}

inline std::vector<const fo::Isa*> targets() {
  std::vector<const fo::Isa*> found;
  for (const fo::Isa& isa : fo::isas())
    if (isa.missing.empty() || emulated(isa)) found.push_back(&isa);
  return found;
}

}  // namespace fo_test
