#pragma once
// What the stand-in's devices share: one lock, one memory, one queue of work.
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../device.h"
#include "failures.h"
#include "memory.h"
#include "queue.h"
#include "stand_in.h"

namespace fo::cuda::stand_in {

struct Event {
  int device;
  bool timing;
  MarkRef mark;  // null: never recorded
};

struct Graph {
  int device;
  std::shared_ptr<const std::vector<Task>> tasks;
};

// Objects behind handles. A handle is given once, so one that was destroyed is known.
template <class T>
class Handles {
 public:
  explicit Handles(uintptr_t first) : first_(first) {}
  void* add(T value) {
    void* handle = reinterpret_cast<void*>(first_ + kStep * next_++);
    live_.emplace(handle, std::move(value));
    return handle;
  }
  T* find(void* handle) {
    const auto found = live_.find(handle);
    return found == live_.end() ? nullptr : &found->second;
  }
  bool was(void* handle) const {
    const auto value = reinterpret_cast<uintptr_t>(handle);
    return value >= first_ && (value - first_) % kStep == 0 && (value - first_) / kStep < next_;
  }
  void remove(void* handle) { live_.erase(handle); }
  size_t size() const { return live_.size(); }

 private:
  static constexpr uintptr_t kStep = 16;
  uintptr_t first_, next_ = 0;
  std::unordered_map<void*, T> live_;
};

struct World {
  World();

  std::mutex mutex;
  Memory memory;
  Failures failures;
  Counters counters;
  std::string faulted[kDevices];  // by which kernel; empty: not
  Queue queue;
  Handles<Stream*> streams{0x10000};
  Handles<Event> events{0x20000000000};
  Handles<Graph> graphs{0x40000000000};
  std::vector<std::shared_ptr<Capture>> captures;
  Stream* default_streams[kDevices][3] = {};  // null, cudaStreamLegacy and cudaStreamPerThread
  std::vector<std::string> complaints;
  bool keeps_complaints = false;
};

// Made at first use and never destroyed.
World& world();

}  // namespace fo::cuda::stand_in
