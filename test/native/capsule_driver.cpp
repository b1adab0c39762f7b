// Another library's DLPack capsules, with its own declarations of the structs, for tests of lib/dlpack.ts.
#include <napi.h>

#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

struct DLTensor {
  void* data;
  int32_t device_type, device_id, ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor dl_tensor;
};

int given_back = 0;

template <class Managed>
struct Capsule {
  Managed managed{};
  std::vector<int64_t> shape, strides;
  std::vector<double> memory = std::vector<double>(64);
};

std::vector<int64_t> integers(const Napi::Value& value) {
  std::vector<int64_t> all;
  for (uint32_t i = 0; value.IsArray() && i < value.As<Napi::Array>().Length(); ++i)
    all.push_back(value.As<Napi::Array>().Get(i).ToNumber().Int64Value());
  return all;
}

template <class Managed>
Napi::Value make(const Napi::Object& facts) {
  auto* const capsule = new Capsule<Managed>;
  const auto number = [&](const char* key, uint32_t fallback) {
    return facts.Get(key).IsNumber() ? facts.Get(key).ToNumber().Uint32Value() : fallback;
  };
  capsule->shape = integers(facts.Get("shape"));
  capsule->strides = integers(facts.Get("strides"));
  for (size_t i = 0; i < 2 * capsule->memory.size(); ++i)
    reinterpret_cast<float*>(capsule->memory.data())[i] = float(i);
  capsule->managed.dl_tensor = {capsule->memory.data(),
                                int32_t(number("deviceType", 1)),
                                0,
                                int32_t(capsule->shape.size()),
                                uint8_t(number("code", 2)),
                                uint8_t(number("bits", 32)),
                                uint16_t(number("lanes", 1)),
                                capsule->shape.data(),
                                capsule->strides.empty() ? nullptr : capsule->strides.data(),
                                number("byteOffset", 0)};
  capsule->managed.manager_ctx = capsule;
  capsule->managed.deleter = [](Managed* self) {
    ++given_back;
    delete static_cast<Capsule<Managed>*>(self->manager_ctx);
  };
  if constexpr (sizeof(Managed) > sizeof(DLManagedTensor)) {
    capsule->managed.major = 1;
    capsule->managed.flags = number("flags", 0);
  }
  return Napi::External<Managed>::New(facts.Env(), &capsule->managed);
}

// capsule({ versioned, flags, deviceType, code, bits, lanes, shape, strides, byteOffset }) over 128 floats:
// 0, 1, 2, ...
Napi::Value MakeCapsule(const Napi::CallbackInfo& info) {
  const auto facts = info[0].As<Napi::Object>();
  return facts.Get("versioned").ToBoolean() ? make<DLManagedTensorVersioned>(facts)
                                            : make<DLManagedTensor>(facts);
}
Napi::Value GivenBack(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), given_back); }

// take(capsule) -> { shape, code, bits, release }: as a library does that keeps the memory; adds 1 to
// float32s, and gives the memory back on another thread.
Napi::Value Take(const Napi::CallbackInfo& info) {
  auto* const managed = info[0].As<Napi::External<DLManagedTensor>>().Data();
  const DLTensor& tensor = managed->dl_tensor;
  const auto deleter = managed->deleter;
  managed->deleter = nullptr;
  auto result = Napi::Object::New(info.Env());
  auto shape = Napi::Array::New(info.Env());
  int64_t count = 1;
  for (int32_t i = 0; i < tensor.ndim; ++i) {
    shape.Set(uint32_t(i), double(tensor.shape[i]));
    count *= tensor.shape[i];
  }
  for (int64_t i = 0; tensor.bits == 32 && i < count; ++i) static_cast<float*>(tensor.data)[i] += 1;
  result.Set("shape", shape);
  result.Set("deviceType", tensor.device_type);
  result.Set("code", int(tensor.code));
  result.Set("bits", int(tensor.bits));
  const auto release = [managed, deleter](const Napi::CallbackInfo& call) {
    std::thread([=] { deleter(managed); }).join();
    return call.Env().Undefined();
  };
  result.Set("release", Napi::Function::New(info.Env(), release, "release"));
  return result;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("capsule", Napi::Function::New(env, MakeCapsule, "capsule"));
  exports.Set("givenBack", Napi::Function::New(env, GivenBack, "givenBack"));
  exports.Set("take", Napi::Function::New(env, Take, "take"));
  return exports;
}

}  // namespace

NODE_API_MODULE(fused_optim_capsule_driver, Init)
