// DLPack of device memory.
#include <memory>
#include <utility>

#include "cuda_env.h"
#include "cuda_tensor.h"
#include "dlpack.h"
#include "read.h"

namespace fo {

Napi::Value ExportDLPack(const Napi::CallbackInfo& info) {
  CudaTensorHandle handle;
  if (!MemoryObject::Read(info[0], &handle) || !handle.alive())
    return Refuse(info.Env(), "memory is expected that was not freed");
  return dlpack::make_capsule(info.Env(), handle.pointer, {dlpack::kCuda, handle.device}, handle.dtype,
                              dlpack::sizes_of(info[1]), std::move(handle.memory));
}

Napi::Value TakeDLPack(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    dlpack::View view;
    if (!dlpack::View::read(info[0], &view) || view.taken())
      return Refuse(info.Env(), "a DLPack capsule is expected that nobody has taken");
    cuda::Device& device = cuda::device(NumberOf<int>(info[1]));
    const auto bytes = NumberOf<size_t>(info[2]);
    void* const pointer = view.pointer();
    auto memory = cuda::Memory::wrap(device, pointer, bytes, view.take());
    return MemoryObject::Make(info.Env(), std::move(memory), pointer, bytes, DType(NumberOf<int>(info[3])),
                              true);
  });
}

}  // namespace fo
