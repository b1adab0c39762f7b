#include "reclaimer.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "stream.h"

namespace fo::cuda {

Reclaimer& Reclaimer::of(Device& device) {
  // Not destroyed: finalizers of an environment may still run while the process ends.
  static auto& all = *new std::map<const Device*, std::unique_ptr<Reclaimer>>;
  static auto& mutex = *new std::mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Reclaimer>& mine = all[&device];
  if (!mine) mine.reset(new Reclaimer(device));
  return *mine;
}

void Reclaimer::enter(StreamHandle stream) {
  const std::lock_guard<std::mutex> lock(mutex_);
  streams_.push_back(stream);
}

void Reclaimer::leave(StreamHandle stream) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto place = std::find(streams_.begin(), streams_.end(), stream);
  if (place != streams_.end()) streams_.erase(place);
  if (std::find(streams_.begin(), streams_.end(), stream) != streams_.end()) return;  // two wrap one handle
  try {
    if (!device_.stream_alive(stream)) return;
    auto tail = std::make_shared<Event>(device_, false);
    tail->record(stream);
    tails_.push_back(std::move(tail));
  } catch (const Fault&) {
    // The device takes no more work, so there is none to wait for.
  }
}

// One event on each stream, behind all that is queued there. The lock is held.
std::vector<std::shared_ptr<Event>> Reclaimer::marks() {
  tails_.erase(std::remove_if(tails_.begin(), tails_.end(), [](auto& tail) { return tail->done(); }),
               tails_.end());
  std::vector<std::shared_ptr<Event>> marks = tails_;
  for (StreamHandle stream : streams_) {
    if (!device_.stream_alive(stream)) continue;  // a caller's, who destroyed it
    auto mark = std::make_shared<Event>(device_, false);
    mark->record(stream);
    marks.push_back(std::move(mark));
  }
  return marks;
}

// What is retired and not marked, behind all that is queued by now. The lock is held.
void Reclaimer::mark_retired() noexcept {
  for (Retired& retired : retired_) {
    if (retired.marked) continue;
    try {
      retired.after = marks();
      retired.marked = true;
    } catch (const Fault& fault) {
      retired.marked = fault.sticky;  // the device takes no more work, and does none
    }
  }
}

bool Reclaimer::due(Retired* retired) noexcept {
  auto& after = retired->after;
  try {
    while (!after.empty() && after.back()->done()) after.pop_back();
  } catch (const Fault& fault) {
    if (fault.sticky) after.clear();
  }
  return retired->marked && after.empty();
}

void Reclaimer::retire(std::function<void()> release) noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    retired_.push_back({std::move(release), false, {}});
  }
  sweep();
}

void Reclaimer::sweep() noexcept {
  std::vector<Retired> ready;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pauses_ > 0) return;
    mark_retired();
    const auto kept =
        std::stable_partition(retired_.begin(), retired_.end(), [&](Retired& r) { return !due(&r); });
    std::move(kept, retired_.end(), std::back_inserter(ready));
    retired_.erase(kept, retired_.end());
  }
  // Outside of the lock: what is called may be someone else's.
  for (Retired& retired : ready) retired.release();
}

bool Reclaimer::drain() noexcept {
  std::vector<Retired> all, kept;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pauses_ > 0) return false;
    mark_retired();
    all.swap(retired_);
  }
  for (Retired& retired : all) {
    try {
      for (const auto& event : retired.after) event->synchronize();
      retired.after.clear();
    } catch (const Fault& fault) {
      if (fault.sticky) retired.after.clear();
    }
    if (retired.marked && retired.after.empty()) {
      retired.release();
    } else {
      kept.push_back(std::move(retired));
    }
  }
  const bool has_released = kept.size() < all.size();
  const std::lock_guard<std::mutex> lock(mutex_);
  std::move(kept.begin(), kept.end(), std::back_inserter(retired_));
  return has_released;
}

void Reclaimer::synchronize() {
  std::vector<std::shared_ptr<Event>> all;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    resumed_.wait(lock, [this] { return pauses_ == 0; });
    mark_retired();
    all = marks();
  }
  for (const auto& event : all) event->synchronize();
  device_.check();
  sweep();
}

void Reclaimer::join(StreamHandle stream) {
  std::unique_lock<std::mutex> lock(mutex_);
  resumed_.wait(lock, [this] { return pauses_ == 0; });
  for (const auto& mark : marks()) mark->make_wait(stream);
}

Reclaimer::Pause::Pause(Reclaimer& reclaimer) : reclaimer_(reclaimer) {
  const std::lock_guard<std::mutex> lock(reclaimer_.mutex_);
  ++reclaimer_.pauses_;
}

Reclaimer::Pause::~Pause() {
  {
    const std::lock_guard<std::mutex> lock(reclaimer_.mutex_);
    if (--reclaimer_.pauses_ > 0) return;
  }
  reclaimer_.resumed_.notify_all();
  reclaimer_.sweep();
}

}  // namespace fo::cuda
