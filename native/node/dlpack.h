#pragma once
// DLPack: how array libraries hand memory to each other. Our own declarations of its structs (version 1, and
// the older one without a version), from the specification at https://dmlc.github.io/dlpack.
//
// A capsule is a JavaScript External whose value is a DLManagedTensor*. Who takes its memory sets `deleter`
// to null in it, and calls the deleter it found there once, when done. An External that nobody has taken
// calls the deleter when it is collected.
#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "../core/formats.h"

namespace fo::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4 };

struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: compact and row-major
  uint64_t byte_offset;
};
struct Managed {  // DLManagedTensor
  Tensor tensor;
  void* context;
  void (*deleter)(Managed* self);
};
struct Versioned {  // DLManagedTensorVersioned
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned* self);
  uint64_t flags;
  Tensor tensor;
};
constexpr uint64_t kReadOnly = 1;

static_assert(sizeof(Tensor) == 48 && sizeof(Managed) == 64 && sizeof(Versioned) == 80, "DLPack's layout");

// Either kind of capsule, as it lies in an External.
struct View {
  Managed* managed = nullptr;
  Versioned* versioned = nullptr;
  const Tensor* tensor = nullptr;

  // False: it is none.
  static bool read(const Napi::Value& value, View* view);
  bool taken() const { return versioned ? !versioned->deleter : !managed->deleter; }
  bool read_only() const { return versioned && (versioned->flags & kReadOnly) != 0; }
  void* pointer() const { return static_cast<char*>(tensor->data) + tensor->byte_offset; }
  bool compact() const;
  bool empty() const;
  // From now on the memory is ours to give back, by calling this once.
  std::function<void()> take() const;
};

// A capsule over memory that `keep` keeps; on any thread it may be let go of.
Napi::Value make_capsule(Napi::Env env, void* data, Device device, DType dtype, std::vector<int64_t> shape,
                         std::shared_ptr<void> keep);
std::vector<int64_t> sizes_of(const Napi::Value& list);

}  // namespace fo::dlpack

namespace fo {

// readDLPack(external) -> { taken, readOnly, deviceType, device, code, bits, lanes, shape, compact, pointer
// }, or undefined where it is no capsule
Napi::Value ReadDLPack(const Napi::CallbackInfo& info);

// What differs between backends, each of which defines its own.
// exportDLPack(memory, shape, dtype) -> External
Napi::Value ExportDLPack(const Napi::CallbackInfo& info);
// takeDLPack(external, device, bytes, dtype) -> memory, which gives it back; the CPU's has the first and
// third argument alone
Napi::Value TakeDLPack(const Napi::CallbackInfo& info);

}  // namespace fo
