#include "queue.h"

#include <algorithm>
#include <utility>

namespace fo::cuda::stand_in {

uint64_t Queue::random() {
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  return random_ ^ (random_ >> 29);
}

Stream* Queue::add(int device) {
  // Nothing points to a stream that is destroyed and empty: all marks that were set in it are.
  streams_.erase(std::remove_if(streams_.begin(), streams_.end(),
                                [](const auto& stream) { return stream->destroyed && stream->work.empty(); }),
                 streams_.end());
  streams_.push_back(std::make_unique<Stream>());
  streams_.back()->device = device;
  return streams_.back().get();
}

void Queue::push(Stream* stream, Work work) {
  stream->work.push_back(std::move(work));
  if (!hold && random(8) == 0) run_some();
}

bool Queue::runnable(const Stream& stream) const {
  return !stream.work.empty() && (!stream.work.front().wait || stream.work.front().wait->done);
}

// Runs what is first in a stream; of a graph, one task.
void Queue::run_one(Stream* stream) {
  Work& work = stream->work.front();
  const bool dead = dead_(stream->device);
  if (work.replay && !dead) {
    Replay& replay = *work.replay;
    const auto& tasks = *replay.tasks;
    std::vector<int> ready;
    for (int i = 0; i < int(tasks.size()); ++i)
      if (!replay.done[i] && std::all_of(tasks[i].after.begin(), tasks[i].after.end(),
                                         [&](int other) { return replay.done[other]; }))
        ready.push_back(i);
    if (!ready.empty()) {
      const int chosen = ready[random(ready.size())];
      tasks[chosen].run();
      replay.done[chosen] = true;
      if (--replay.left > 0) return;
    }
  }
  const Work done = std::move(work);
  stream->work.pop_front();
  if (done.run && !dead) done.run();
  if (done.mark) {
    done.mark->time = std::chrono::steady_clock::now();
    done.mark->done = true;
  }
}

// The stream to run for `stream` to get on: itself, or the one it waits for.
Stream* Queue::needed(Stream* stream) const {
  while (!runnable(*stream)) stream = stream->work.front().wait->stream;
  return stream;
}

void Queue::run_until(const std::function<bool()>& reached, Stream* toward) {
  if (reached()) return;
  const bool lazy = hold || random(2) == 0;  // only what has to run, or anything besides
  around(true);
  while (!reached()) {
    Stream* stream = needed(toward);
    if (!lazy) {
      Stream* other = streams_[random(streams_.size())].get();
      if (runnable(*other)) stream = other;
    }
    run_one(stream);
  }
  around(false);
}

void Queue::run_some() {
  around(true);
  for (uint64_t left = 1 + random(8); left > 0; --left) {
    Stream* stream = streams_[random(streams_.size())].get();
    if (runnable(*stream)) run_one(stream);
  }
  around(false);
}

void Queue::drain(Stream* stream) {
  run_until([&] { return stream->work.empty(); }, stream);
}

void Queue::reach(const Mark& mark) {
  run_until([&] { return mark.done; }, mark.stream);
}

void Queue::nudge(const Mark& mark) {
  if (hold || mark.done || random(2) == 0) return;
  around(true);
  run_one(needed(mark.stream));
  around(false);
}

void Queue::forget() {
  for (const auto& stream : streams_) {
    for (const Work& work : stream->work)
      if (work.mark) work.mark->done = true;
    stream->work.clear();
  }
}

Ended end(const std::shared_ptr<Capture>& capture) {
  // Tasks that the origin has come to wait for, in the end.
  std::vector<bool> joined(capture->tasks.size(), false);
  std::vector<int> open = capture->origin->tail;
  while (!open.empty()) {
    const int task = open.back();
    open.pop_back();
    if (joined[task]) continue;
    joined[task] = true;
    open.insert(open.end(), capture->tasks[task].after.begin(), capture->tasks[task].after.end());
  }
  for (Stream* stream : capture->streams) {
    stream->capture = nullptr;
    stream->tail.clear();
  }
  capture->ended = true;
  if (capture->broken) return {nullptr, 901, "cudaErrorStreamCaptureInvalidated"};
  if (std::find(joined.begin(), joined.end(), false) != joined.end())
    return {nullptr, 904, "cudaErrorStreamCaptureUnjoined"};
  return {std::make_shared<const std::vector<Task>>(std::move(capture->tasks))};
}

}  // namespace fo::cuda::stand_in
