#pragma once
// The shared memory of a block, and who has touched which byte of it since the last barrier.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fo::cuda::stand_in::ptx {

class SharedMemory {
 public:
  SharedMemory(size_t bytes, int warps);

  unsigned char* data() { return bytes_.get(); }
  size_t size() const { return size_; }
  bool holds(uint64_t address, size_t bytes) const;

  // All of the block, or of a warp, have come to a barrier.
  void pass_barrier() { ++block_phase_; }
  void pass_warp_barrier(int warp) { ++warp_phases_[size_t(warp)]; }
  // False when another thread has written a byte, or reads one that is written, with no barrier between.
  bool touch(size_t offset, size_t bytes, int thread, bool writes);

 private:
  struct Visit {
    int thread = -1;
    uint32_t block_phase = 0, warp_phase = 0;
  };
  // Of a byte: its last writer, and two of its last readers.
  struct Visits {
    Visit written, read[2];
  };

  bool may_meet(const Visit& earlier, int thread) const;

  size_t size_;
  std::unique_ptr<unsigned char[]> bytes_;
  std::vector<Visits> visits_;
  uint32_t block_phase_ = 0;
  std::vector<uint32_t> warp_phases_;
};

}  // namespace fo::cuda::stand_in::ptx
