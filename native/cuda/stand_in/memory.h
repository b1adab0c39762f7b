#pragma once
// The memory of the stand-in's devices.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "../device.h"
#include "stand_in.h"

namespace fo::cuda::stand_in {

// Says what was misused: to stderr, and the process ends; or into the list that keep_complaints() asked for.
void complain(const std::string& what);

class Memory {
 public:
  // Null where the device has no room for it. Filled with NaN of every width.
  void* allocate(PointerInfo::Kind kind, int device, size_t bytes);
  // Complains of what is not there, or was written to past its end.
  void release(const char* call, PointerInfo::Kind kind, void* memory);
  PointerInfo find(const void* pointer) const;
  // Of device memory under AddressSanitizer: whether this process may touch it, which kernels may and the
  // host may not.
  void expose(bool on);
  // Complains if memory was written to after it was freed.
  void check_freed();

  size_t in_use(int device) const { return used_[device]; }
  size_t pinned() const { return pinned_; }
  size_t limit(int device) const { return limits_[device]; }
  void set_limit(int device, size_t bytes) { limits_[device] = bytes; }

 private:
  struct Block {
    PointerInfo::Kind kind;
    int device;
    size_t bytes;
  };
  struct Freed {
    uintptr_t base;
    size_t bytes;
  };
  void drop_oldest();

  std::map<uintptr_t, Block> blocks_;
  std::deque<Freed> freed_;  // kept for a while, to see whether it is written to
  size_t freed_bytes_ = 0;
  size_t used_[kDevices] = {}, pinned_ = 0;
  size_t limits_[kDevices] = {};
  bool exposed_ = false;
};

}  // namespace fo::cuda::stand_in
