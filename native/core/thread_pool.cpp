#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace fo {
namespace {

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits a little for something that is nearly always about to happen. Yields now and then: the thread that is
// waited for may need this very core.
template <class Done>
bool spin_until(int rounds, Done done) {
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < 100; ++i) {
      if (done()) return true;
      pause();
    }
    std::this_thread::yield();
  }
  return done();
}

class ThreadPool {
 public:
  // Never destroyed: the process may exit while a worker sleeps or, after process.exit(), still works.
  static ThreadPool& instance() {
    static ThreadPool* const pool = new ThreadPool;
    return *pool;
  }

  void run(int threads, uint64_t count, void (*task)(const void*, uint64_t), const void* context) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) {
      for (uint64_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    const int helpers = start(int(std::min<uint64_t>(uint64_t(threads), count)) - 1);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      seats_ = helpers;
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (helpers == 1) {
      posted_.notify_one();
    } else if (helpers > 1) {
      posted_.notify_all();
    }
    work();
    std::unique_lock<std::mutex> lock(mutex_);
    seats_ = 0;  // a helper that wakes only now finds no seat and sleeps on
    if (busy_ == 0) return;
    lock.unlock();
    spin_until(100, [this] { return idle_.load(std::memory_order_acquire); });
    lock.lock();
    finished_.wait(lock, [this] { return busy_ == 0; });
  }

  int size() const { return size_.load(std::memory_order_relaxed); }

 private:
  // Returns how many helpers there are, up to `wanted`; fewer where the system refuses a thread.
  int start(int wanted) {
    while (size() < wanted) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (const std::exception&) {  // no thread, or no memory for one
        break;
      }
      size_.fetch_add(1, std::memory_order_relaxed);
    }
    return std::min(size(), wanted);
  }

  void work() {
    for (uint64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, i);
  }

  void serve() {
    uint64_t seen = 0;
    for (;;) {
      spin_until(20, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      std::unique_lock<std::mutex> lock(mutex_);
      posted_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
      seen = generation_.load(std::memory_order_relaxed);
      if (seats_ == 0) continue;
      --seats_;
      ++busy_;
      idle_.store(false, std::memory_order_relaxed);
      lock.unlock();
      work();
      lock.lock();
      if (--busy_ == 0) {
        idle_.store(true, std::memory_order_release);
        finished_.notify_one();
      }
    }
  }

  std::mutex turn_;   // held by the caller whose job this is
  std::mutex mutex_;  // guards what follows, but for the atomics
  std::condition_variable posted_, finished_;
  void (*task_)(const void*, uint64_t) = nullptr;
  const void* context_ = nullptr;
  uint64_t count_ = 0;
  int seats_ = 0, busy_ = 0;
  std::atomic<uint64_t> next_{0}, generation_{0};
  std::atomic<bool> idle_{true};
  std::atomic<int> size_{0};  // helpers started; only the holder of turn_ adds
};

}  // namespace

void parallel_for(int threads, uint64_t count, void (*task)(const void*, uint64_t), const void* context) {
  if (threads <= 1 || count <= 1) {
    for (uint64_t i = 0; i < count; ++i) task(context, i);
    return;
  }
  ThreadPool::instance().run(threads, count, task, context);
}

int pool_size() { return ThreadPool::instance().size(); }

}  // namespace fo
