#include "buffer_pin.h"

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace fo {
namespace {

// std::shared_ptr<v8::BackingStore> v8::ArrayBuffer::GetBackingStore(). A shared_ptr has one layout whatever
// it points to, and a napi_value is the very address that V8's handles pass as `this`.
using GetBackingStore = std::shared_ptr<void> (*)(napi_value self);

GetBackingStore find() {
#if defined(_WIN32)
  return nullptr;
#else
  return reinterpret_cast<GetBackingStore>(dlsym(RTLD_DEFAULT, "_ZN2v811ArrayBuffer15GetBackingStoreEv"));
#endif
}

const GetBackingStore get_backing_store = find();

}  // namespace

bool can_pin_buffers() { return get_backing_store != nullptr; }

std::shared_ptr<void> pin_buffer(napi_value arraybuffer) { return get_backing_store(arraybuffer); }

}  // namespace fo
