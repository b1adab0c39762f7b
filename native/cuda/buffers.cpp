#include "buffers.h"

#include <algorithm>
#include <cstring>

#include "reclaimer.h"

namespace fo::cuda {

std::shared_ptr<Slab> allocate_slab(const std::shared_ptr<Stream>& stream, size_t bytes) {
  try {
    const auto memory = Memory::allocate(stream->device, bytes);
    auto slab = std::make_shared<Slab>(static_cast<char*>(memory->pointer), bytes, [memory, stream] {});
    stream->device.fill(memory->pointer, 0, bytes, stream->handle);
    return slab;
  } catch (const Fault& fault) {
    if (fault.out_of_memory) return nullptr;
    throw;
  }
}

bool DeviceBuffer::reserve(size_t bytes) {
  if (memory_ && bytes <= memory_->bytes) return false;
  memory_ = Memory::allocate(stream_->device, bytes);
  return true;
}

void Staging::reserve(size_t bytes) {
  const size_t ring = padded(bytes) * 2;  // one part is filled while another is under way
  if (ring <= bytes_) return;
  auto memory = pinned(stream_->device, ring);
  retire();
  memory_ = std::move(memory);
  bytes_ = ring;
  head_ = 0;
}

void Staging::retire() noexcept {
  if (memory_) Reclaimer::of(stream_->device).retire([memory = std::move(memory_)] {});
  parts_.clear();
}

// Forgets what has arrived, and waits for what lies in a part that is about to be written.
void Staging::wait_for(size_t begin, size_t end) {
  const auto wanted = [&](const Part& part) { return part.begin < end && part.end > begin; };
  while (!parts_.empty()) {
    Event& oldest = *parts_.front().event;
    if (!oldest.done()) {
      if (std::none_of(parts_.begin(), parts_.end(), wanted)) return;
      oldest.synchronize();
    }
    idle_.push_back(std::move(parts_.front().event));
    parts_.pop_front();
  }
}

void Staging::upload(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  if (head_ + bytes > bytes_) head_ = 0;
  wait_for(head_, head_ + bytes);
  if (idle_.empty()) idle_.push_back(std::make_unique<Event>(stream_->device, false));
  char* const part = static_cast<char*>(memory_.get()) + head_;
  std::memcpy(part, from, bytes);
  parts_.push_back({head_, head_ + bytes, std::move(idle_.back())});
  idle_.pop_back();
  stream_->device.copy(to, part, bytes, stream_->handle);
  parts_.back().event->record(stream_->handle);
  head_ += padded(bytes);
}

Outcomes::~Outcomes() {
  if (ring_) Reclaimer::of(stream_->device).retire([ring = std::move(ring_)] {});
}

void Outcomes::reserve() {
  if (ring_) return;
  std::vector<std::unique_ptr<Event>> events;
  while (events.size() < kOutcomes) events.push_back(std::make_unique<Event>(stream_->device, false));
  auto memory = pinned(stream_->device, kOutcomes * sizeof(Outcome));
  std::fill_n(static_cast<Outcome*>(memory.get()), kOutcomes, Outcome{});
  events_ = std::move(events);
  ring_ = std::move(memory);
}

bool Outcomes::wait(uint64_t serial, Outcome* outcome) {
  if (!done(serial)) events_[serial % kOutcomes]->synchronize();
  *outcome = ring()[serial % kOutcomes];
  return outcome->serial == serial;
}

}  // namespace fo::cuda
