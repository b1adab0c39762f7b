#include "memory.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "reclaimer.h"
#include "stream.h"

namespace fo::cuda {

Memory::Memory(Device& device, void* pointer, size_t bytes, std::function<void()> release)
    : device(device), pointer(pointer), bytes(bytes), release_(std::move(release)) {}

Memory::~Memory() {
  if (release_) Reclaimer::of(device).retire(std::move(release_));
}

std::shared_ptr<Memory> Memory::allocate(Device& device, size_t bytes) {
  Reclaimer& reclaimer = Reclaimer::of(device);
  reclaimer.sweep();
  void* pointer;
  try {
    pointer = device.allocate(bytes);
  } catch (const Fault& fault) {
    if (!fault.out_of_memory || !reclaimer.drain()) throw;
    pointer = device.allocate(bytes);
  }
  return wrap(device, pointer, bytes, [&device, pointer] { device.free(pointer); });
}

std::shared_ptr<Memory> Memory::wrap(Device& device, void* pointer, size_t bytes,
                                     std::function<void()> release) {
  return std::shared_ptr<Memory>(new Memory(device, pointer, bytes, std::move(release)));
}

namespace {

constexpr size_t kPiece = size_t(4) << 20;
constexpr size_t kKept = size_t(64) << 20;  // of idle pinned memory, which the rest of the system lacks

// Blocks in sizes of powers of two, by size. Never destroyed, as the devices are.
class PinnedPool {
 public:
  explicit PinnedPool(Device& device) : device_(device) {}

  static PinnedPool& of(Device& device) {
    static auto& all = *new std::map<const Device*, std::unique_ptr<PinnedPool>>;
    static auto& mutex = *new std::mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    std::unique_ptr<PinnedPool>& mine = all[&device];
    if (!mine) mine = std::make_unique<PinnedPool>(device);
    return *mine;
  }

  std::shared_ptr<void> take(size_t bytes) {
    size_t size = 4096;
    while (size < bytes) size *= 2;
    void* block = reuse(size);
    if (!block) block = device_.allocate_pinned(size);
    return std::shared_ptr<void>(block, [this, size](void* used) { give_back(used, size); });
  }

 private:
  void* reuse(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = idle_.find(size);
    if (found == idle_.end()) return nullptr;
    void* const block = found->second;
    idle_.erase(found);
    idle_bytes_ -= size;
    return block;
  }

  void give_back(void* block, size_t size) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (idle_bytes_ + size <= kKept) {
        idle_.emplace(size, block);
        idle_bytes_ += size;
        return;
      }
    }
    device_.free_pinned(block);
  }

  Device& device_;
  std::mutex mutex_;
  std::multimap<size_t, void*> idle_;
  size_t idle_bytes_ = 0;
};

// Two pinned pieces in turn: one is copied by the CPU while the device copies the other.
class Pieces {
 public:
  Pieces(Device& device, size_t bytes, StreamHandle stream) : device_(device), stream_(stream) {
    for (int i = 0; i < (bytes > kPiece ? 2 : 1); ++i)
      turns_[i] = {pinned(device, std::min(bytes, kPiece)), std::make_unique<Event>(device, false)};
  }

  // After a fault the device may still be at work on what was queued before.
  ~Pieces() {
    if (finished_) return;
    try {
      device_.synchronize(stream_);
    } catch (const Fault&) {
      // It is the fault that is being reported, or its consequence.
    }
  }

  std::byte* memory(size_t piece) { return static_cast<std::byte*>(turns_[piece % 2].memory.get()); }
  void queued(size_t piece) { turns_[piece % 2].event->record(stream_); }
  void wait(size_t piece) { turns_[piece % 2].event->synchronize(); }
  void finished() { finished_ = true; }

 private:
  struct Turn {
    std::shared_ptr<void> memory;
    std::unique_ptr<Event> event;
  };
  Device& device_;
  const StreamHandle stream_;
  Turn turns_[2];
  bool finished_ = false;
};

size_t pieces_of(size_t bytes) { return (bytes + kPiece - 1) / kPiece; }
size_t size_of(size_t piece, size_t bytes) { return std::min(kPiece, bytes - piece * kPiece); }

}  // namespace

std::shared_ptr<void> pinned(Device& device, size_t bytes) { return PinnedPool::of(device).take(bytes); }

void upload(Device& device, void* to, const void* from, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return;
  Pieces pieces(device, bytes, stream);
  const size_t count = pieces_of(bytes);
  for (size_t i = 0; i < count; ++i) {
    if (i >= 2) pieces.wait(i);
    const size_t size = size_of(i, bytes);
    std::memcpy(pieces.memory(i), static_cast<const std::byte*>(from) + i * kPiece, size);
    device.copy(static_cast<std::byte*>(to) + i * kPiece, pieces.memory(i), size, stream);
    pieces.queued(i);
  }
  pieces.wait(count - 1);
  pieces.finished();
}

void download(Device& device, void* to, const void* from, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return;
  Pieces pieces(device, bytes, stream);
  const size_t count = pieces_of(bytes);
  const auto queue = [&](size_t i) {
    device.copy(pieces.memory(i), static_cast<const std::byte*>(from) + i * kPiece, size_of(i, bytes),
                stream);
    pieces.queued(i);
  };
  queue(0);
  for (size_t i = 0; i < count; ++i) {
    if (i + 1 < count) queue(i + 1);
    pieces.wait(i);
    std::memcpy(static_cast<std::byte*>(to) + i * kPiece, pieces.memory(i), size_of(i, bytes));
  }
  pieces.finished();
}

}  // namespace fo::cuda
