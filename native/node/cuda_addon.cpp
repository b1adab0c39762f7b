// What the CUDA addon exports; lib/cuda/native.ts holds the same contract in types.
#include <napi.h>

#include <string>

#include "../cuda/reclaimer.h"
#include "buffer_pin.h"
#include "cuda_comm.h"
#include "cuda_env.h"
#include "cuda_stream.h"
#include "cuda_tensor.h"
#include "dlpack.h"
#include "native_api.h"
#include "read.h"
#include "stay_loaded.h"
#include "stepper_object.h"
#if defined(FO_STAND_IN)
#include "stand_in_object.h"
#endif

namespace {

// presence() -> { reason, driver, runtime, devices: [...] }
Napi::Value Presence(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const fo::cuda::Presence& presence = fo::cuda::presence();
  auto devices = Napi::Array::New(env);
  for (const fo::cuda::Properties& device : presence.devices) {
    auto row = Napi::Object::New(env);
    row.Set("index", device.index);
    row.Set("name", device.name);
    row.Set("computeCapability", std::to_string(device.major) + "." + std::to_string(device.minor));
    row.Set("multiprocessors", device.multiprocessors);
    row.Set("memory", double(device.memory));
    row.Set("l2Bytes", double(device.l2_bytes));
    row.Set("fastFloat64", device.fast_float64);
    devices.Set(devices.Length(), row);
  }
  auto result = Napi::Object::New(env);
  result.Set("reason", presence.reason);
  result.Set("driver", presence.driver);
  result.Set("runtime", presence.runtime);
  result.Set("devices", devices);
  return result;
}

// cublas() -> { available, path, reason, version }
Napi::Value Cublas(const Napi::CallbackInfo& info) {
  return fo::PresenceObject(info.Env(), fo::cuda::cublas_presence());
}

// setErrors(make)
Napi::Value SetErrors(const Napi::CallbackInfo& info) {
  fo::cuda_env(info.Env()).make_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

// pointerInfo(device, pointer) -> [kind, device, bytes of its allocation from there on, or -1]
Napi::Value PointerInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return fo::Guarded(env, [&]() -> Napi::Value {
    const void* const pointer = fo::AsPointer(info[1]);
    const fo::cuda::PointerInfo found = fo::cuda::device(fo::NumberOf<int>(info[0])).pointer_info(pointer);
    static const char* const kinds[] = {"unknown", "host", "device", "managed"};
    auto result = Napi::Array::New(env, 3);
    result.Set(0u, kinds[found.kind]);
    result.Set(1u, found.device);
    result.Set(2u, found.base == 0
                       ? -1.
                       : double(found.base + found.bytes) - double(reinterpret_cast<uintptr_t>(pointer)));
    return result;
  });
}

// synchronize(device): waits for all streams that this process has made or been given
Napi::Value Synchronize(const Napi::CallbackInfo& info) {
  return fo::Guarded(info.Env(), [&] {
    fo::cuda::Reclaimer::of(fo::cuda::device(fo::NumberOf<int>(info[0]))).synchronize();
    return info.Env().Undefined();
  });
}

// join(device, stream): the stream waits for all others
Napi::Value Join(const Napi::CallbackInfo& info) {
  return fo::Guarded(info.Env(), [&] {
    if (const auto stream = fo::StreamObject::Of(info[1]))
      fo::cuda::Reclaimer::of(stream->device).join(stream->handle);
    return info.Env().Undefined();
  });
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  fo::StayLoaded();
  auto* const own = new fo::CudaEnv;
  env.SetInstanceData(own);
  const auto define = [&](const char* name, Napi::Function constructor) {
    exports.Set(name, constructor);
    return Napi::Persistent(constructor);
  };
  own->memory_class = define("Memory", fo::MemoryObject::Define(env));
  own->stream_class = define("Stream", fo::StreamObject::Define(env));
  own->event_class = define("Event", fo::EventObject::Define(env));
  exports.Set("Comm", fo::CommObject::Define(env));
  exports.Set("Stepper", fo::StepperObject::Define(env));
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("presence", Presence);
  add("cublas", Cublas);
  add("nccl", fo::Nccl);
  add("ncclUniqueId", fo::NcclUniqueId);
  add("setErrors", SetErrors);
  add("allocate", fo::MemoryObject::Allocate);
  add("wrap", fo::MemoryObject::Wrap);
  add("pinned", fo::MemoryObject::Pinned);
  add("pointerInfo", PointerInfo);
  add("synchronize", Synchronize);
  add("join", Join);
  add("exportDLPack", fo::ExportDLPack);
  add("readDLPack", fo::ReadDLPack);
  add("takeDLPack", fo::TakeDLPack);
  add("nativeApi", fo::NativeApi);
  exports.Set("pinsBuffers", Napi::Boolean::New(env, fo::can_pin_buffers()));
#if defined(FO_STAND_IN)
  exports.Set("standIn", fo::StandInObject(env));
#endif
  return exports;
}

}  // namespace

NODE_API_MODULE(fused_optim_cuda, Init)
