// Steppers over memory of this process, which JavaScript has as typed arrays.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "../core/stepper.h"
#include "../cpu/cpu_matmul.h"
#include "../cpu/isa.h"
#include "read.h"
#include "stepper_object.h"

namespace fo {
namespace {

// Newer runtimes have a Float16Array: with a type of its own, which Node's headers need not know, or with
// none.
bool IsFloat16Array(Napi::Env env, napi_value value, napi_typedarray_type type) {
  napi_value bytes;
  uint32_t count = 0;
  return (int(type) < 0 || type > napi_biguint64_array) &&
         napi_get_named_property(env, value, "BYTES_PER_ELEMENT", &bytes) == napi_ok &&
         napi_get_value_uint32(env, bytes, &count) == napi_ok && count == 2;
}

// A typed array that holds `dtype` -> its memory. False: another type or length, for instance a detached
// buffer.
bool Elements(Napi::Env env, napi_value value, DType dtype, size_t length, void** data) {
  auto type = napi_typedarray_type(-1);
  size_t actual = 0;
  if (napi_get_typedarray_info(env, value, &type, &actual, data, nullptr, nullptr) != napi_ok ||
      actual != length)
    return false;
  if (dtype == DType::kF32) return type == napi_float32_array;
  if (dtype == DType::kF64) return type == napi_float64_array;
  return type == napi_uint16_array || (dtype == DType::kF16 && IsFloat16Array(env, value, type));
}

class CpuBackend : public Backend {
 public:
  bool memory_of(Napi::Env env, napi_value value, DType dtype, size_t length, void** data) const override {
    return Elements(env, value, dtype, length, data);
  }

  napi_value view(Napi::Env env, const Part& part, std::shared_ptr<Slab> slab) const override {
    auto* const keep = new std::shared_ptr<Slab>(std::move(slab));
    napi_value buffer;
    const napi_status status = napi_create_external_arraybuffer(
        env, part.data, part.all,
        [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Slab>*>(hint); }, keep, &buffer);
    if (status == napi_ok) return buffer;
    delete keep;
    return nullptr;
  }
};

}  // namespace

// new Stepper(rules, isa, threads)
std::unique_ptr<Backend> make_backend(const Napi::CallbackInfo& info, std::vector<const RuleInfo*> rules) {
  const Isa* const isa = find_isa(TextOf(info[1]));
  if (!isa || !isa->missing.empty()) return nullptr;
  const int threads = std::max(1, NumberOf<int>(info[2]));
  auto backend = std::make_unique<CpuBackend>();
  backend->stepper = std::make_shared<Stepper>(std::move(rules), isa->kernels, isa->codecs, threads,
                                               std::make_unique<CpuMatmul>(*isa, threads));
  return backend;
}

}  // namespace fo
