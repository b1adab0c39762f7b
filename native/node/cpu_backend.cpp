// Steppers over memory of this process, which JavaScript has as typed arrays.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "../core/stepper.h"
#include "../cpu/cpu_matmul.h"
#include "../cpu/isa.h"
#include "stepper_object.h"

namespace fo {
namespace {

class CpuBackend : public Backend {
 public:
  // A detached buffer shows as length 0.
  bool memory_of(Napi::Env env, napi_value value, const Tensor& tensor, void** data) const override {
    napi_typedarray_type type;
    size_t length = 0;
    return napi_get_typedarray_info(env, value, &type, &length, data, nullptr, nullptr) == napi_ok &&
           type == napi_float32_array && length == tensor.length;
  }

  napi_value view(Napi::Env env, void* data, size_t bytes, std::shared_ptr<Slab> slab) const override {
    auto* const keep = new std::shared_ptr<Slab>(std::move(slab));
    napi_value buffer;
    const napi_status status = napi_create_external_arraybuffer(
        env, data, bytes,
        [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Slab>*>(hint); }, keep, &buffer);
    if (status == napi_ok) return buffer;
    delete keep;
    return nullptr;
  }
};

}  // namespace

// new Stepper(rules, isa, threads)
std::unique_ptr<Backend> make_backend(const Napi::CallbackInfo& info, std::vector<const RuleInfo*> rules) {
  const Isa* const isa = find_isa(info[1].ToString().Utf8Value());
  if (!isa || !isa->missing.empty()) return nullptr;
  const int threads = std::max(1, info[2].ToNumber().Int32Value());
  auto backend = std::make_unique<CpuBackend>();
  backend->stepper = std::make_shared<Stepper>(std::move(rules), isa->kernels, threads,
                                               std::make_unique<CpuMatmul>(*isa, threads));
  return backend;
}

}  // namespace fo
