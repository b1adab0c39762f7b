#pragma once
// One pool of threads for the whole process, started when first needed and kept.
#include <cstdint>

namespace fo {

// Calls task(context, i) for i in [0, count), on up to `threads` threads of which the caller is one, and
// returns when all are done. When another thread is using the pool, the caller does the work alone: callers
// never wait for each other.
void parallel_for(int threads, uint64_t count, void (*task)(const void*, uint64_t), const void* context);

template <class F>
void parallel_for(int threads, uint64_t count, const F& f) {
  parallel_for(
      threads, count, [](const void* context, uint64_t i) { (*static_cast<const F*>(context))(i); }, &f);
}

// Threads the pool has started so far (for tests).
int pool_size();

}  // namespace fo
