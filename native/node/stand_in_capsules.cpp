// DLPack capsules of another library, for tests.
#include <cstdint>
#include <type_traits>
#include <vector>

#include "cuda_env.h"
#include "dlpack.h"
#include "stand_in_object.h"

namespace fo {
namespace {

// Each capsule is kept to the end of the process and counts how often it is given back.
template <class Managed>
struct Foreign {
  Managed managed{};
  std::vector<int64_t> shape, strides;
};
int given_back = 0;

std::vector<int64_t> Integers(const Napi::Value& value) {
  std::vector<int64_t> all;
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; value.IsArray() && i < list.Length(); ++i)
    all.push_back(list.Get(i).ToNumber().Int64Value());
  return all;
}

// capsule({ versioned, flags, deviceType, device, code, bits, lanes, shape, strides, byteOffset, pointer })
template <class Managed>
Napi::Value Capsule(const Napi::Object& facts) {
  auto* const foreign = new Foreign<Managed>;
  foreign->shape = Integers(facts.Get("shape"));
  foreign->strides = Integers(facts.Get("strides"));
  const auto number = [&](const char* name) { return facts.Get(name).ToNumber().Uint32Value(); };
  dlpack::Tensor& tensor = foreign->managed.tensor;
  tensor.data = AsPointer(facts.Get("pointer"));
  tensor.device = {int32_t(number("deviceType")), int32_t(number("device"))};
  tensor.ndim = int32_t(foreign->shape.size());
  tensor.dtype = {uint8_t(number("code")), uint8_t(number("bits")), uint16_t(number("lanes"))};
  tensor.shape = foreign->shape.data();
  tensor.strides = foreign->strides.empty() ? nullptr : foreign->strides.data();
  tensor.byte_offset = number("byteOffset");
  foreign->managed.deleter = [](Managed*) { ++given_back; };
  if constexpr (std::is_same_v<Managed, dlpack::Versioned>) {
    foreign->managed.major = 1;
    foreign->managed.minor = 1;
    foreign->managed.flags = number("flags");
  }
  return Napi::External<Managed>::New(facts.Env(), &foreign->managed);
}
Napi::Value MakeCapsule(const Napi::CallbackInfo& info) {
  const auto facts = info[0].As<Napi::Object>();
  return facts.Get("versioned").ToBoolean() ? Capsule<dlpack::Versioned>(facts)
                                            : Capsule<dlpack::Managed>(facts);
}
// external(): something else
Napi::Value MakeExternal(const Napi::CallbackInfo& info) {
  static uint64_t zeros[16];
  return Napi::External<uint64_t>::New(info.Env(), zeros);
}

}  // namespace

void AddCapsules(Napi::Object to) {
  const Napi::Env env = to.Env();
  to.Set("capsule", Napi::Function::New(env, MakeCapsule, "capsule"));
  to.Set("external", Napi::Function::New(env, MakeExternal, "external"));
  const auto count = [](const Napi::CallbackInfo& info) -> Napi::Value {
    return Napi::Number::New(info.Env(), given_back);
  };
  to.Set("givenBack", Napi::Function::New(env, count, "givenBack"));
}

}  // namespace fo
