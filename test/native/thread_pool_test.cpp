// The pool: every index once, everything seen when the call returns, callers never in each other's way.
#include "../../native/core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "check.h"

namespace fo_test {
namespace {

// Counts in plain memory: a thread checker sees whether the pool orders the tasks' writes before the caller's
// reads.
bool each_once(int threads, uint64_t count) {
  std::vector<int> seen(count);
  fo::parallel_for(threads, count, [&](uint64_t i) { ++seen[i]; });
  for (int times : seen)
    if (times != 1) return false;
  return true;
}

void wait_a_little(int turns = 2000) {
  for (volatile int i = 0; i < turns; i = i + 1) {
  }
}

}  // namespace

void test_thread_pool() {
  test("thread pool: one thread starts none", [] {
    const int before = fo::pool_size();
    EXPECT(
        each_once(1, 1000) && each_once(0, 1000) && each_once(-3, 10) && each_once(8, 1) && each_once(8, 0),
        "an index was missed or repeated");
    EXPECT(fo::pool_size() == before, "the pool grew from %d to %d", before, fo::pool_size());
  });
  test("thread pool: every index once, no more threads than asked for", [] {
    int largest = fo::pool_size();
    for (int threads = 2; threads <= 8; ++threads) {
      for (uint64_t count : {2, 3, 7, 64, 1000, 100000}) {
        largest = std::max(largest, int(std::min<uint64_t>(uint64_t(threads), count)) - 1);
        EXPECT(each_once(threads, count), "%d threads, %d indices: one was missed or repeated", threads,
               int(count));
        EXPECT(fo::pool_size() <= largest, "the pool has %d helpers for %d threads", fo::pool_size(),
               threads);
      }
    }
  });
  test("thread pool: a larger pool lends only what is asked for", [] {
    each_once(8, 100);
    for (int threads = 2; threads <= 4; ++threads) {
      for (int round = 0; round < rounds(50); ++round) {
        std::atomic<int> at_once{0}, most{0};
        fo::parallel_for(threads, 40, [&](uint64_t) {
          const int now = ++at_once;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
          }
          wait_a_little();
          --at_once;
        });
        EXPECT(most <= threads, "%d at once, %d asked for", most.load(), threads);
      }
    }
  });
  test("thread pool: many tiny jobs", [] {
    // Of several lengths, so that helpers come early, late or not at all.
    uint64_t sum = 0, wanted = 0;
    for (uint64_t job = 0; job < uint64_t(rounds(40000)); ++job) {
      const uint64_t count = 2 + job % 7;
      uint64_t part[8] = {};
      fo::parallel_for(2 + int(job % 4), count, [&](uint64_t i) {
        part[i] += job + i;
        wait_a_little(int(job % 5) * 200);
      });
      for (uint64_t i = 0; i < count; ++i) sum += part[i], wanted += job + i;
    }
    EXPECT(sum == wanted, "%ju, not %ju", uintmax_t(sum), uintmax_t(wanted));
  });
  test("thread pool: jobs after pauses, when the helpers sleep", [] {
    for (int round = 0; round < 20; ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(round % 4));
      EXPECT(each_once(4, 200), "round %d: an index was missed or repeated", round);
    }
  });
  test("thread pool: the helpers do work", [] {
    std::mutex mutex;
    std::set<std::thread::id> who;
    // A task waits for another thread's arrival, so the caller cannot do all of them alone.
    std::atomic<int> arrived{0};
    for (int attempt = 0; attempt < 100 && who.size() < 2; ++attempt) {
      arrived = 0;
      fo::parallel_for(2, 2, [&](uint64_t) {
        ++arrived;
        for (int i = 0; i < 1000 && arrived < 2; ++i) std::this_thread::yield();
        const std::lock_guard<std::mutex> lock(mutex);
        who.insert(std::this_thread::get_id());
      });
    }
    EXPECT(who.size() == 2, "%zu threads worked", who.size());
  });
  test("thread pool: callers on several threads at once", [] {
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 5; ++caller) {
      callers.emplace_back([&, caller] {
        for (int job = 0; job < rounds(600); ++job)
          if (!each_once(2 + (caller + job) % 4, uint64_t(1 + job % 300))) ++wrong;
      });
    }
    for (auto& caller : callers) caller.join();
    EXPECT(wrong == 0, "%d jobs went wrong", wrong.load());
    EXPECT(fo::pool_size() <= 7, "the pool has grown to %d", fo::pool_size());
  });
  test("thread pool: jobs inside jobs", [] {
    for (int round = 0; round < rounds(100); ++round) {
      std::vector<std::vector<int>> seen(16, std::vector<int>(40));
      fo::parallel_for(4, seen.size(), [&](uint64_t i) {
        fo::parallel_for(3, seen[i].size(), [&](uint64_t k) { ++seen[i][k]; });
      });
      for (const auto& row : seen)
        for (int times : row) EXPECT(times == 1, "round %d: %d times", round, times);
    }
  });
}

}  // namespace fo_test
