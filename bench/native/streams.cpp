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

using Sweep = uint32_t (*)(float* const*, size_t, size_t);

template <int kReads, bool kDivide>
constexpr Sweep kSweeps[] = {kReads > 0 ? &sweep<kReads, 0, false> : nullptr, &sweep<kReads, 1, kDivide>,
                             &sweep<kReads, 2, kDivide>, &sweep<kReads, 3, kDivide>,
                             &sweep<kReads, 4, kDivide>};

Sweep pick(const Pass& pass) {
  static constexpr const Sweep* kTable[2][kMaxReads + 1] = {
      {kSweeps<0, false>, kSweeps<1, false>, kSweeps<2, false>},
      {kSweeps<0, true>, kSweeps<1, true>, kSweeps<2, true>}};
  return kTable[pass.divide][__builtin_popcount(pass.reads)][__builtin_popcount(pass.updates)];
}

// A pass made ready for one set of streams.
struct Bound {
  float* arrays[kMaxReads + kMaxUpdates] = {};
  Sweep sweep;
  int every;

  Bound(const Streams& streams, const Pass& pass) : sweep(pick(pass)), every(pass.every) {
    float** next = arrays;
    for (const uint32_t mask : {pass.reads, pass.updates})
      for (int i = 0; i < kMaxStreams; ++i)
        if (mask >> i & 1) *next++ = streams.data()[i];
  }
  bool due(int step) const { return step % every == every - 1; }
};

// Keeps what sweeps return alive.
volatile uint32_t checked;

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
  Job(const Streams& streams, const Plan& plan) : plan(plan), barrier(plan.threads) {
    for (const Pass& pass : plan.passes) passes.emplace_back(streams, pass);
    const size_t share = (plan.elements + size_t(plan.threads) - 1) / size_t(plan.threads);
    piece = std::min(kPiece, (share + 63) / 64 * 64);
  }

  void work(int self) {
    uint32_t check = 0, turn = 0;
    barrier.wait();
    const auto start = std::chrono::steady_clock::now();
    for (int step = 0; step < plan.steps; ++step) {
      for (const Bound& pass : passes) {
        if (!pass.due(step)) continue;
        // Two counters in turn: the one of the next pass is put back to zero while nobody reads it.
        std::atomic<size_t>& next = counters[turn++ % 2];
        for (size_t begin; (begin = next.fetch_add(piece, std::memory_order_relaxed)) < plan.elements;) {
          check ^= pass.sweep(pass.arrays, begin, std::min(begin + piece, plan.elements));
        }
        barrier.wait();
        if (self == 0) next.store(0, std::memory_order_relaxed);
      }
    }
    if (self == 0) seconds = seconds_since(start);
    checked = check;
  }

  const Plan& plan;
  std::vector<Bound> passes;
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
    while (started_ < job.plan.threads) {
      std::thread thread([this, self = started_] { serve(self); });
      bind(thread, started_);
      thread.detach();
      ++started_;
    }
    job_ = &job;
    remaining_ = job.plan.threads;
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
      if (self >= job_->plan.threads) continue;
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

bool Streams::reserve(uint32_t streams) {
  for (int i = 0; i < kMaxStreams; ++i) {
    if (memory_[i] || !(streams >> i & 1)) continue;
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

bool valid(const Pass& pass) {
  const auto count = [](uint32_t mask) { return __builtin_popcount(mask); };
  return (pass.reads | pass.updates) >> kMaxStreams == 0 && (pass.reads & pass.updates) == 0 &&
         count(pass.reads) <= kMaxReads && count(pass.updates) <= kMaxUpdates && pass.every > 0 && pick(pass);
}

double run(const Streams& streams, const Plan& plan) {
  Job job(streams, plan);
  if (plan.threads > 1) {
    Team::instance().run(job);
    return job.seconds;
  }
  uint32_t check = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < plan.steps; ++step) {
    for (const Bound& pass : job.passes)
      if (pass.due(step)) check ^= pass.sweep(pass.arrays, 0, plan.elements);
  }
  checked = check;
  return seconds_since(start);
}

}  // namespace streaming
