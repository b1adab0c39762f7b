#include <utility>

#include "device.h"

namespace fo::cuda {
namespace {

std::string sentence(const std::string& call, int code, const std::string& name, const std::string& detail) {
  const std::string failed = call + " failed with " + name + " (" + std::to_string(code) + ")";
  return failed + (detail.empty() ? "." : ": " + detail + (detail.back() == '.' ? "" : "."));
}

}  // namespace

Fault::Fault(std::string call_, int code_, std::string name_, std::string detail)
    : std::runtime_error(sentence(call_, code_, name_, detail)),
      call(std::move(call_)),
      code(code_),
      name(std::move(name_)) {}

}  // namespace fo::cuda
