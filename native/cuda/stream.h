#pragma once
// Streams and events as objects.
#include <memory>

#include "device.h"

namespace fo::cuda {

class Event {
 public:
  Event(Device& device, bool timing) : device(device), handle_(device.create_event(timing)) {}
  ~Event() { device.destroy_event(handle_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(StreamHandle stream) { device.record(handle_, stream); }
  void make_wait(StreamHandle stream) { device.wait(stream, handle_); }
  bool done() { return device.done(handle_); }
  void synchronize() { device.synchronize_event(handle_); }
  float milliseconds_until(const Event& end) { return device.milliseconds(handle_, end.handle_); }

  Device& device;

 private:
  EventHandle handle_;
};

// A stream that the reclaimer of its device knows of; whatever queues work does it on one of these.
class Stream {
 public:
  explicit Stream(Device& device);               // a new one
  Stream(Device& device, StreamHandle callers);  // someone else's, who also destroys it
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool alive() { return own_ || device.stream_alive(handle); }
  bool own() const { return own_; }

  Device& device;
  const StreamHandle handle;

 private:
  const bool own_;
};

}  // namespace fo::cuda
