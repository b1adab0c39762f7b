#pragma once
// When memory of a device may be freed: not before everything that was queued until then is done, on
// whichever stream it was. Nobody waits for that; what has become due is found at later calls.
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "device.h"

namespace fo::cuda {

class Event;
class Stream;

// One for each device, never destroyed. Any thread may call.
class Reclaimer {
 public:
  static Reclaimer& of(Device& device);

  // Calls `release` once all work that is queued by now is done: at once, or at a later call on any thread.
  void retire(std::function<void()> release) noexcept;
  // Releases what is due by now.
  void sweep() noexcept;
  // Waits for all that is retired, and releases it. False: there was nothing.
  bool drain() noexcept;

  // Waits for all known streams.
  void synchronize();
  // Makes a stream wait for all known streams.
  void join(StreamHandle stream);

  // An event on a stream that is captured would become part of the graph. While one of these exists, what is
  // retired waits, and so do synchronize() and join() on other threads; begin and end the capture within it.
  class Pause {
   public:
    explicit Pause(Reclaimer& reclaimer);
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    Reclaimer& reclaimer_;
  };

 private:
  friend class Stream;
  struct Retired {
    std::function<void()> release;
    bool marked = false;  // `after` is known: not in a pause, nor while the device cannot say
    std::vector<std::shared_ptr<Event>> after;
  };

  explicit Reclaimer(Device& device) : device_(device) {}
  void enter(StreamHandle stream);
  void leave(StreamHandle stream) noexcept;  // what it still has to do is remembered
  std::vector<std::shared_ptr<Event>> marks();
  void mark_retired() noexcept;
  bool due(Retired* retired) noexcept;

  Device& device_;
  std::mutex mutex_;
  std::condition_variable resumed_;
  std::vector<StreamHandle> streams_;
  std::vector<std::shared_ptr<Event>> tails_;  // of streams that are gone
  std::vector<Retired> retired_;
  int pauses_ = 0;
};

}  // namespace fo::cuda
