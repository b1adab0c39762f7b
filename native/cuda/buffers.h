#pragma once
// Memory that a stepper keeps: device memory that only grows, a ring of pinned memory through which changes
// reach the device without waiting, and the ring of outcomes that the device writes. What has work queued is
// retired, not freed (see reclaimer.h).
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "../core/state_store.h"
#include "kernels.h"
#include "memory.h"
#include "stream.h"

namespace fo::cuda {

// Zeroed device memory for states; null when there is none.
std::shared_ptr<Slab> allocate_slab(const std::shared_ptr<Stream>& stream, size_t bytes);

class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  // Makes room; contents are lost when it grows. Throws Fault, with everything as it was. Returns whether the
  // memory has moved.
  bool reserve(size_t bytes);
  char* data() const { return memory_ ? static_cast<char*>(memory_->pointer) : nullptr; }

 private:
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<Memory> memory_;
};

// Copies to the device by way of pinned memory: in the order of the stream, without waiting for it unless
// more is under way than the ring holds.
class Staging {
 public:
  explicit Staging(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~Staging() { retire(); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Makes room for uploads of up to `bytes` each. Throws Fault, with everything as it was.
  void reserve(size_t bytes);
  void upload(void* to, const void* from, size_t bytes);

 private:
  struct Part {
    size_t begin, end;
    std::unique_ptr<Event> event;
  };
  void retire() noexcept;
  void wait_for(size_t begin, size_t end);

  std::shared_ptr<Stream> stream_;
  std::shared_ptr<void> memory_;
  size_t bytes_ = 0, head_ = 0;
  std::deque<Part> parts_;  // under way, oldest first
  std::vector<std::unique_ptr<Event>> idle_;
};

// What steps decided, as far as somebody has asked: the device writes, the host waits for a step's event.
class Outcomes {
 public:
  explicit Outcomes(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~Outcomes();
  Outcomes(const Outcomes&) = delete;
  Outcomes& operator=(const Outcomes&) = delete;

  void reserve();  // throws Fault, with everything as it was
  Outcome* ring() const { return static_cast<Outcome*>(ring_.get()); }
  // The step of this serial has been queued.
  void mark(uint64_t serial) { events_[serial % kOutcomes]->record(stream_->handle); }
  bool done(uint64_t serial) { return events_[serial % kOutcomes]->done(); }
  // Waits for the step; false when its place in the ring has been taken by a later one.
  bool wait(uint64_t serial, Outcome* outcome);

 private:
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<void> ring_;
  std::vector<std::unique_ptr<Event>> events_;
};

}  // namespace fo::cuda
