// cuda/nccl.h's functions, by the library.
#include "../nccl.h"

#include "errors.h"
#include "nccl_library.h"

namespace fo::cuda::nccl {
namespace {

struct Loaded {
  Library library;
  Presence presence;
};

const Loaded& loaded() {
  static const Loaded* const found = [] {
    auto* result = new Loaded{};
    Presence& presence = result->presence;
    presence.available = load(from_environment, &result->library, &presence.reason);
    if (!presence.available) return result;
    presence.path = result->library.path;
    presence.version = result->library.version;
    return result;
  }();
  return *found;
}

}  // namespace

const Presence& presence() { return loaded().presence; }

const Functions* functions() { return presence().available ? &loaded().library.functions : nullptr; }

void use_device(int index) { check("cudaSetDevice", cudaSetDevice(index)); }

}  // namespace fo::cuda::nccl
