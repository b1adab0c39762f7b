#include "shared_memory.h"

#include <cstring>

#include "../../block.h"

namespace fo::cuda::stand_in::ptx {

SharedMemory::SharedMemory(size_t bytes, int warps)
    : size_(bytes), bytes_(new unsigned char[bytes]), visits_(bytes), warp_phases_(size_t(warps)) {
  std::memset(bytes_.get(), 0xa5, bytes);  // nobody may count on what is there
}

bool SharedMemory::holds(uint64_t address, size_t bytes) const {
  const auto begin = reinterpret_cast<uint64_t>(bytes_.get());
  return address >= begin && address + bytes <= begin + size_;
}

bool SharedMemory::may_meet(const Visit& earlier, int thread) const {
  if (earlier.thread < 0 || earlier.thread == thread || earlier.block_phase != block_phase_) return false;
  const int warp = thread / kWarp;
  return earlier.thread / kWarp != warp || earlier.warp_phase == warp_phases_[size_t(warp)];
}

bool SharedMemory::touch(size_t offset, size_t bytes, int thread, bool writes) {
  const Visit own{thread, block_phase_, warp_phases_[size_t(thread / kWarp)]};
  for (size_t i = offset; i < offset + bytes; ++i) {
    Visits& visits = visits_[i];
    if (may_meet(visits.written, thread)) return false;
    if (!writes) {
      if (visits.read[0].thread != thread) visits.read[1] = visits.read[0];
      visits.read[0] = own;
      continue;
    }
    if (may_meet(visits.read[0], thread) || may_meet(visits.read[1], thread)) return false;
    visits.written = own;
  }
  return true;
}

}  // namespace fo::cuda::stand_in::ptx
