#pragma once
// Streams, events and graphs of the stand-in: work waits in queues and runs when somebody waits for it, or
// before, by chance.
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fo::cuda::stand_in {

struct Stream;
struct Capture;

// One piece of work. In a graph it comes after others, which are named by their numbers.
struct Task {
  std::function<void()> run;
  std::vector<int> after;
};

// What an event stands for: the moment that one call of record() marked.
struct Mark {
  Stream* stream = nullptr;
  bool done = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<Capture> capture;  // marked in a graph that is being recorded, after these tasks
  std::vector<int> after;
};
using MarkRef = std::shared_ptr<Mark>;

// A graph on its way through a stream: tasks run in any order that their dependencies allow.
struct Replay {
  std::shared_ptr<const std::vector<Task>> tasks;
  std::vector<bool> done;
  size_t left;
};

struct Work {
  std::function<void()> run;       // or
  MarkRef mark;                    // to set, or
  MarkRef wait;                    // to wait for, or
  std::shared_ptr<Replay> replay;  // a graph
};

struct Stream {
  int device = 0;
  bool destroyed = false;
  std::deque<Work> work;
  std::shared_ptr<Capture> capture;  // what is queued is recorded instead
  std::vector<int> tail;             // and the next task comes after these
};

// A graph while it is recorded.
struct Capture {
  std::thread::id thread;
  Stream* origin;
  std::vector<Task> tasks;
  std::vector<Stream*> streams;
  bool ended = false;
  bool broken = false;  // by a call that a capture does not allow
};

class Queue {
 public:
  // `dead` tells whether the device has had a sticky fault: its work passes without effect.
  explicit Queue(std::function<bool(int device)> dead) : dead_(std::move(dead)) {}

  Stream* add(int device);
  void push(Stream*, Work);  // and perhaps runs something
  void drain(Stream*);       // runs until the stream is empty
  void reach(const Mark&);   // runs until the mark is set
  void nudge(const Mark&);   // perhaps runs something on the way to it
  void forget();             // drops all work; marks in it count as set
  void seed(uint64_t seed) { random_ = seed * 2 + 1; }
  uint64_t random();
  uint64_t random(uint64_t below) { return (random() >> 16) % below; }

  bool hold = false;
  std::function<void(bool)> around = [](bool) {};  // called before and after work runs

 private:
  bool runnable(const Stream&) const;
  void run_one(Stream*);
  Stream* needed(Stream*) const;
  void run_until(const std::function<bool()>& reached, Stream* toward);
  void run_some();

  std::function<bool(int)> dead_;
  std::vector<std::unique_ptr<Stream>> streams_;
  uint64_t random_ = 3;
};

// Ends a capture: its tasks, or what is wrong with it, as the name and code of an error.
struct Ended {
  std::shared_ptr<const std::vector<Task>> tasks;
  int code = 0;
  const char* name = "";
};
Ended end(const std::shared_ptr<Capture>&);

}  // namespace fo::cuda::stand_in
