#pragma once
// How kernel bodies are written, so that one text is a CUDA kernel and a function of this process.
//
// A body is a template over Block and works in phases: block.each(f) calls f(thread) for every thread of the
// block, each on its own; block.sync() ends a phase. Where threads of each warp read only what those of the
// same warp have written, block.sync_warps() is enough, and does not make warps wait for each other. What
// lives from one phase to the next lies in shared memory, block.shared(), or is the same for all threads. On
// a GPU a thread calls f once, with its own number. The executor calls it for all threads in an order that it
// shuffles anew for each phase, so a phase in which threads wait for or overwrite each other gives other
// results there, and the tests see it.
#include <cstddef>
#include <cstdint>

#include "../vec/portable.h"

namespace fo::cuda {

constexpr int kThreads = 256, kWarp = 32;

#if defined(__CUDACC__)

template <class Shared>
struct GpuBlock {
  Shared* memory;
  __device__ __forceinline__ int index() const { return int(blockIdx.x); }
  __device__ __forceinline__ int count() const { return int(gridDim.x); }
  __device__ __forceinline__ Shared& shared() const { return *memory; }
  __device__ __forceinline__ void sync() const { __syncthreads(); }
  __device__ __forceinline__ void sync_warps() const { __syncwarp(); }
  template <class F>
  __device__ __forceinline__ void each(const F& f) const {
    f(int(threadIdx.x));
  }
};
#define FO_DEVICE static __device__ __forceinline__

#else

// What the executor tells a kernel.
struct Launch {
  int blocks, threads;
  uint64_t seed;  // of the orders of threads; blocks come in an order of their own too
  int block;
};

template <class Shared>
class HostBlock {
 public:
  HostBlock(const Launch& launch, Shared* memory)
      : launch_(launch),
        memory_(memory),
        random_(launch.seed * 0x9e3779b97f4a7c15u + uint64_t(launch.block)) {}
  int index() const { return launch_.block; }
  int count() const { return launch_.blocks; }
  Shared& shared() const { return *memory_; }
  void sync() {}
  void sync_warps() {}
  // Every thread once: from a random one on, in random steps that are prime to their number.
  template <class F>
  void each(const F& f) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    const unsigned start = unsigned(random_ >> 33), step = unsigned(random_ >> 20) | 1;
    for (int i = 0; i < launch_.threads; ++i)
      f(int((start + unsigned(i) * step) & unsigned(launch_.threads - 1)));  // a power of two
  }

 private:
  const Launch& launch_;
  Shared* memory_;
  uint64_t random_;
};
#define FO_DEVICE static inline

#endif

}  // namespace fo::cuda
