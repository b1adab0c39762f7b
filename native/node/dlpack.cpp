#include "dlpack.h"

#include <atomic>
#include <utility>

#include "pointers.h"
#include "read.h"

namespace fo {
namespace dlpack {
namespace {

constexpr int kMaxAxes = 64;

// What we export. It outlives both the External and whoever took its memory: each may look into it last.
struct Capsule {
  Managed managed{};
  std::vector<int64_t> shape;
  std::shared_ptr<void> memory;
  std::atomic<int> holders{2};

  void let_go() {
    if (holders.fetch_sub(1) == 1) delete this;
  }
  static void Delete(Managed* self) {
    auto* const capsule = static_cast<Capsule*>(self->context);
    self->deleter = nullptr;
    capsule->memory.reset();
    capsule->let_go();
  }
};

DataType type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {kFloat, 32, 1};
    case DType::kF64:
      return {kFloat, 64, 1};
    case DType::kBf16:
      return {kBfloat, 16, 1};
    case DType::kF16:
      return {kFloat, 16, 1};
    case DType::kBlocks8:
      break;
  }
  return {kUInt, 8, 1};
}

}  // namespace

// Its kind is not written anywhere: a versioned one begins with two small numbers where the other has an
// address.
bool View::read(const Napi::Value& value, View* view) {
  void* data = nullptr;
  if (!value.IsExternal() || napi_get_value_external(value.Env(), value, &data) != napi_ok || !data ||
      reinterpret_cast<uintptr_t>(data) % alignof(Managed) != 0)
    return false;
  auto* const versioned = static_cast<Versioned*>(data);
  if (versioned->major >= 1 && versioned->major < 16 && versioned->minor < 256) {
    view->versioned = versioned;
    view->tensor = &versioned->tensor;
  } else {
    view->managed = static_cast<Managed*>(data);
    view->tensor = &view->managed->tensor;
  }
  // An External can hold anything; a tensor that makes sense is hardly there by chance.
  const Tensor& t = *view->tensor;
  return t.device.type >= 1 && t.device.type <= 32 && t.device.id >= 0 && t.device.id < 1024 && t.ndim >= 0 &&
         t.ndim <= kMaxAxes && (t.ndim == 0 || t.shape) && t.dtype.bits > 0 && t.dtype.lanes > 0 &&
         t.dtype.code <= 32;
}

bool View::compact() const {
  if (!tensor->strides) return true;
  int64_t expected = 1;
  for (int i = tensor->ndim - 1; i >= 0; --i) {
    if (tensor->shape[i] != 1 && tensor->strides[i] != expected) return false;
    expected *= tensor->shape[i];
  }
  return true;
}

bool View::empty() const {
  for (int i = 0; i < tensor->ndim; ++i)
    if (tensor->shape[i] == 0) return true;
  return false;
}

std::function<void()> View::take() const {
  if (versioned) {
    const auto deleter = std::exchange(versioned->deleter, nullptr);
    return [self = versioned, deleter] { deleter(self); };
  }
  const auto deleter = std::exchange(managed->deleter, nullptr);
  return [self = managed, deleter] { deleter(self); };
}

Napi::Value make_capsule(Napi::Env env, void* data, Device device, DType dtype, std::vector<int64_t> shape,
                         std::shared_ptr<void> keep) {
  auto* const capsule = new Capsule;
  capsule->shape = std::move(shape);
  capsule->memory = std::move(keep);
  capsule->managed = {
      {data, device, int32_t(capsule->shape.size()), type_of(dtype), capsule->shape.data(), nullptr, 0},
      capsule,
      Capsule::Delete};
  const auto collect = [](Napi::BasicEnv, Managed* managed) {
    auto* const mine = static_cast<Capsule*>(managed->context);
    if (managed->deleter) managed->deleter(managed);
    mine->let_go();
  };
  return Napi::External<Managed>::New(env, &capsule->managed, collect);
}

std::vector<int64_t> sizes_of(const Napi::Value& list) {
  std::vector<int64_t> sizes;
  const auto given = list.As<Napi::Array>();
  for (uint32_t i = 0, n = given.Length(); i < n; ++i) sizes.push_back(NumberOf<int64_t>(given.Get(i)));
  return sizes;
}

}  // namespace dlpack

Napi::Value ReadDLPack(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  dlpack::View view;
  if (!dlpack::View::read(info[0], &view)) return env.Undefined();
  auto result = Napi::Object::New(env);
  result.Set("taken", Napi::Boolean::New(env, view.taken()));
  if (view.taken()) return result;
  const dlpack::Tensor& tensor = *view.tensor;
  auto shape = Napi::Array::New(env, size_t(tensor.ndim));
  for (int i = 0; i < tensor.ndim; ++i) shape.Set(uint32_t(i), double(tensor.shape[i]));
  result.Set("readOnly", Napi::Boolean::New(env, view.read_only()));
  result.Set("deviceType", tensor.device.type);
  result.Set("device", tensor.device.id);
  result.Set("code", int(tensor.dtype.code));
  result.Set("bits", int(tensor.dtype.bits));
  result.Set("lanes", int(tensor.dtype.lanes));
  result.Set("shape", shape);
  result.Set("compact", Napi::Boolean::New(env, view.empty() || view.compact()));
  result.Set("pointer", AsBigInt(env, view.pointer()));
  return result;
}

}  // namespace fo
