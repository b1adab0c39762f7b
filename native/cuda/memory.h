#pragma once
// Device memory that frees itself, and pinned host memory to copy through.
#include <cstddef>
#include <functional>
#include <memory>

#include "device.h"

namespace fo::cuda {

// A range of device memory and who keeps it. When the last owner lets go, it is freed, or given back to whom
// it came from, as soon as all work that is queued by then is done.
class Memory {
 public:
  // Throws Fault; a lack of memory only after everything that was retired has been freed.
  static std::shared_ptr<Memory> allocate(Device& device, size_t bytes);
  // Memory of someone else; `release`, if any, gives it back.
  static std::shared_ptr<Memory> wrap(Device& device, void* pointer, size_t bytes,
                                      std::function<void()> release = {});
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  Device& device;
  void* const pointer;
  const size_t bytes;

 private:
  Memory(Device& device, void* pointer, size_t bytes, std::function<void()> release);
  std::function<void()> release_;
};

// Pinned memory of at least `bytes`, from a pool of the device. Let go of it when the device is done with it.
std::shared_ptr<void> pinned(Device& device, size_t bytes);

// Between pageable memory and a device, in pieces through pinned memory; in stream order, done on return.
void upload(Device& device, void* to, const void* from, size_t bytes, StreamHandle stream);
void download(Device& device, void* to, const void* from, size_t bytes, StreamHandle stream);

}  // namespace fo::cuda
