#include "streams.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <thread>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#endif

#include "kernels.h"

namespace streaming {
namespace {

// Stream i starts i * kSkew bytes after a multiple of kAlignment. Where streams lie relative to each other
// matters: on AMD Zen 3, five streams whose starts differ by multiples of 4 KiB take up to six times as long
// in the L1 cache, and five cache lines apart was the fastest distance at every size tried.
constexpr std::align_val_t kAlignment{size_t{2} << 20};
constexpr size_t kSkew = 5 * 64;
// Threads take pieces of this many elements, so that one slowed by another process does not hold up the rest.
constexpr size_t kPiece = size_t{1} << 18;

using Sweep = void (*)(float* const*, size_t, size_t);

Sweep pick(const Pass& pass) {
  static constexpr Sweep kTraffic[] = {sweep<0, false>, sweep<1, false>, sweep<2, false>, sweep<3, false>};
  static constexpr Sweep kDivide[] = {sweep<0, false>, sweep<1, true>, sweep<2, true>, sweep<3, true>};
  return (pass.divide ? kDivide : kTraffic)[pass.states];
}

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A spinning barrier; waiting on the system would cost more than a small sweep.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}

  void wait() {
    const int turn = turn_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 1; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins % 4096 == 0) {
        std::this_thread::yield();  // more threads than free cores
      } else {
        relax();
      }
    }
  }

 private:
  const int threads_;
  std::atomic<int> arrived_{0}, turn_{0};
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What the threads of one run share.
struct Job {
  Job(const Streams& streams, const Pass& pass)
      : data(streams.data()), pass(pass), sweep(pick(pass)), barrier(pass.threads) {
    const size_t share = (pass.elements + size_t(pass.threads) - 1) / size_t(pass.threads);
    piece = std::min(kPiece, (share + 63) / 64 * 64);
  }

  void work(int self) {
    barrier.wait();
    const auto start = std::chrono::steady_clock::now();
    for (int step = 0; step < pass.steps; ++step) {
      // Two counters in turn: the one of the next step is put back to zero while nobody reads it.
      std::atomic<size_t>& next = counters[step % 2];
      for (size_t begin; (begin = next.fetch_add(piece, std::memory_order_relaxed)) < pass.elements;) {
        sweep(data, begin, std::min(begin + piece, pass.elements));
      }
      barrier.wait();
      if (self == 0) next.store(0, std::memory_order_relaxed);
    }
    if (self == 0) seconds = seconds_since(start);
  }

  float* const* data;
  const Pass pass;
  const Sweep sweep;
  Barrier barrier;
  size_t piece;
  std::atomic<size_t> counters[2] = {};
  double seconds = 0;
};

// Threads that sleep between runs, each bound to a core of its own where the system allows it. The calling
// thread is not one of them: binding it would bind every thread started from it later.
class Team {
 public:
  // Never destroyed: the process may exit while a thread sleeps.
  static Team& instance() {
    static Team* const team = new Team;
    return *team;
  }

  void run(Job& job) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (started_ < job.pass.threads) {
      std::thread thread([this, self = started_] { serve(self); });
      bind(thread, started_);
      thread.detach();
      ++started_;
    }
    job_ = &job;
    remaining_ = job.pass.threads;
    ++generation_;
    posted_.notify_all();
    finished_.wait(lock, [this] { return remaining_ == 0; });
  }

 private:
  static void bind([[maybe_unused]] std::thread& thread, [[maybe_unused]] int index) {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed) || index-- > 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      pthread_setaffinity_np(thread.native_handle(), sizeof one, &one);
      return;
    }
#endif
  }

  void serve(int self) {
    uint64_t seen = 0;
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      posted_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (self >= job_->pass.threads) continue;
      Job& job = *job_;
      lock.unlock();
      job.work(self);
      lock.lock();
      if (--remaining_ == 0) finished_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable posted_, finished_;
  Job* job_ = nullptr;
  uint64_t generation_ = 0;
  int started_ = 0, remaining_ = 0;
};

// Ordinary sizes for p and g, states in (0, 1); the pattern's length is odd, so no two vectors of a page are
// equal.
void fill(float* data, size_t elements, int stream) {
  for (size_t i = 0; i < elements; ++i) {
    const float x = float(i % 509) / 512 + 1.f / 1024;
    data[i] = stream == 0 ? 0.04f * (x - 0.5f) : stream == 1 ? 0.002f * (x - 0.5f) : x;
  }
}

}  // namespace

Streams::~Streams() {
  for (void* memory : memory_) ::operator delete(memory, kAlignment);
}

bool Streams::reserve(int streams) {
  for (int i = 0; i < streams; ++i) {
    if (memory_[i]) continue;
    const size_t bytes = elements_ * sizeof(float) + size_t(i + 1) * kSkew;
    memory_[i] = ::operator new(bytes, kAlignment, std::nothrow);
    if (!memory_[i]) return false;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (huge_pages_) madvise(memory_[i], bytes, MADV_HUGEPAGE);
#endif
    data_[i] = static_cast<float*>(memory_[i]) + size_t(i) * kSkew / sizeof(float);
    fill(data_[i], elements_, i);
  }
  return true;
}

double run(const Streams& streams, const Pass& pass) {
  if (pass.threads > 1) {
    Job job(streams, pass);
    Team::instance().run(job);
    return job.seconds;
  }
  const Sweep sweep = pick(pass);
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < pass.steps; ++step) sweep(streams.data(), 0, pass.elements);
  return seconds_since(start);
}

}  // namespace streaming
