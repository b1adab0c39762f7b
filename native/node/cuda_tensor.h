#pragma once
// Device memory as JavaScript holds it: a range, its dtype, and who keeps it. lib/cuda/tensor.ts checks and
// explains.
#include <napi.h>

#include <memory>

#include "../core/formats.h"
#include "../cuda/memory.h"

namespace fo {

// What native code sees of a CudaTensor. Elements of one byte have the dtype kBlocks8.
struct CudaTensorHandle {
  std::shared_ptr<cuda::Memory> memory;  // holding it keeps the range alive
  void* pointer = nullptr;
  size_t bytes = 0;
  DType dtype = DType::kF32;
  int device = 0;
  bool alive() const { return memory != nullptr; }  // false: it was freed
};

class MemoryObject : public Napi::ObjectWrap<MemoryObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit MemoryObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

  // An object over a part of `memory`, which it keeps alive. `frees`: letting go of the object frees as much,
  // which is a reason to collect garbage.
  static Napi::Value Make(Napi::Env env, std::shared_ptr<cuda::Memory> memory, void* pointer, size_t bytes,
                          DType dtype, bool frees = false);
  // False: `value` is no such object. It may be one that was freed: see alive().
  static bool Read(const Napi::Value& value, CudaTensorHandle* handle);

  // allocate(device, bytes, dtype) -> object; contents undefined
  static Napi::Value Allocate(const Napi::CallbackInfo& info);
  // wrap(device, pointer, bytes, dtype, keep?) -> object over someone else's memory, or a part of `keep`'s
  static Napi::Value Wrap(const Napi::CallbackInfo& info);
  static Napi::Value Pinned(const Napi::CallbackInfo& info);

 private:
  Napi::Value Pointer(const Napi::CallbackInfo& info);
  Napi::Value Free(const Napi::CallbackInfo& info);
  Napi::Value Clear(const Napi::CallbackInfo& info);
  Napi::Value Upload(const Napi::CallbackInfo& info);
  Napi::Value Download(const Napi::CallbackInfo& info);
  template <class F>
  Napi::Value Transfer(const Napi::CallbackInfo& info, const F& f);
  Napi::Value CopyFrom(const Napi::CallbackInfo& info);
  Napi::Value QueueUpload(const Napi::CallbackInfo& info);
  Napi::Value QueueDownload(const Napi::CallbackInfo& info);
  Napi::Value UploadAsync(const Napi::CallbackInfo& info);
  Napi::Value DownloadAsync(const Napi::CallbackInfo& info);

  void Release(Napi::BasicEnv env);

  CudaTensorHandle handle_;
  int64_t accounted_ = 0;  // bytes the garbage collector was told of
};

}  // namespace fo
