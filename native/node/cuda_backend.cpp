// Steppers over device memory, which JavaScript has as Memory objects.
#include <memory>
#include <utility>
#include <vector>

#include "../cuda/stepper.h"
#include "cuda_env.h"
#include "cuda_stream.h"
#include "cuda_tensor.h"
#include "stepper_object.h"

namespace fo {
namespace {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(cuda::Device* device) : device_(device) {}

  bool memory_of(Napi::Env env, napi_value value, DType dtype, size_t length, void** data) const override {
    CudaTensorHandle handle;
    if (!MemoryObject::Read(Napi::Value(env, value), &handle) || !handle.alive()) return false;
    *data = handle.pointer;
    return &handle.memory->device == device_ && handle.dtype == dtype &&
           handle.bytes == bytes_of(dtype, length);
  }

  napi_value view(Napi::Env env, const Part& part, std::shared_ptr<Slab> slab) const override {
    void* const data = part.data + part.offset;
    auto memory = cuda::Memory::wrap(*device_, data, part.bytes, [slab = std::move(slab)] {});
    return MemoryObject::Make(env, std::move(memory), data, part.bytes, part.dtype, false);
  }

  Napi::Value run(Napi::Env env, const std::function<Napi::Value()>& method) const override {
    return Guarded(env, method);
  }

 private:
  cuda::Device* device_;
};

}  // namespace

// new Stepper(rules, stream)
std::unique_ptr<Backend> make_backend(const Napi::CallbackInfo& info, std::vector<const RuleInfo*> rules) {
  std::unique_ptr<Backend> backend;
  Guarded(info.Env(), [&]() -> Napi::Value {
    const auto stream = StreamObject::Of(info[1]);
    if (!stream) return info.Env().Undefined();
    auto made = std::make_unique<CudaBackend>(&stream->device);
    made->stepper = std::make_shared<cuda::CudaStepper>(std::move(rules), stream);
    backend = std::move(made);
    return info.Env().Undefined();
  });
  return backend;
}

}  // namespace fo
