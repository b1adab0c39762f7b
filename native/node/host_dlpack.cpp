// DLPack of memory of this process.
#include <functional>
#include <memory>
#include <utility>

#include "buffer_pin.h"
#include "dlpack.h"
#include "read.h"
#include "refuse.h"

namespace fo {

// The capsule keeps the memory behind the array's buffer, which lives on when JavaScript lets go of it.
Napi::Value ExportDLPack(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  void* data = nullptr;
  napi_value buffer;
  if (!can_pin_buffers() ||
      napi_get_typedarray_info(env, info[0], nullptr, nullptr, &data, &buffer, nullptr) != napi_ok)
    return Refuse(env, "a typed array, whose memory can be kept, is expected");
  return dlpack::make_capsule(env, data, {dlpack::kCpu, 0}, DType(NumberOf<int>(info[2])),
                              dlpack::sizes_of(info[1]), pin_buffer(buffer));
}

// -> an ArrayBuffer; the capsule's memory is given back when that is collected, or at once where it is empty.
Napi::Value TakeDLPack(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  dlpack::View view;
  if (!dlpack::View::read(info[0], &view) || view.taken())
    return Refuse(env, "a DLPack capsule is expected that nobody has taken");
  const auto bytes = NumberOf<size_t>(info[1]);
  if (bytes == 0) {
    view.take()();
    return Napi::ArrayBuffer::New(env, 0);
  }
  auto* const release = new std::function<void()>;
  const auto collect = [](napi_env, void*, void* hint) {
    const std::unique_ptr<std::function<void()>> mine(static_cast<std::function<void()>*>(hint));
    if (*mine) (*mine)();
  };
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, view.pointer(), bytes, collect, release, &buffer) != napi_ok) {
    delete release;
    return Refuse(env, "this runtime does not allow views of native memory");
  }
  *release = view.take();
  return Napi::Value(env, buffer);
}

}  // namespace fo
