#pragma once
// Why a call from C is refused; table.cpp makes a status and last_error() of it.
#include <string>
#include <utility>

#include "../include/fused_optim.h"

namespace fo::c {

struct Refusal {
  explicit Refusal(std::string sentence, int32_t status = FUSED_OPTIM_INVALID)
      : sentence(std::move(sentence)), status(status) {}
  std::string sentence;
  int32_t status;
};

inline void require(bool holds, const char* sentence) {
  if (!holds) throw Refusal(sentence);
}

// A number as JavaScript prints it, up to the notation of very large and very small ones.
std::string text(double number);

}  // namespace fo::c
