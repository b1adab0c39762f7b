#pragma once
// Keeps the memory behind an ArrayBuffer alive while another thread works on it.
//
// A reference to a typed array does not do that: JavaScript may transfer the buffer at any time, and its new
// owner may free it. V8's backing store is reference counted, but Node-API has no word for it. The symbol is
// therefore looked up at run time; where it is missing (another engine), steps run on the calling thread
// instead.
#include <napi.h>

#include <memory>

namespace fo {

bool can_pin_buffers();

// `arraybuffer`: an ArrayBuffer or SharedArrayBuffer. Only after can_pin_buffers() said yes.
std::shared_ptr<void> pin_buffer(napi_value arraybuffer);

}  // namespace fo
