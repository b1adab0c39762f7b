#pragma once
// From a body to a kernel: a __global__ function where nvcc compiles, else a function for the executor.
#include "../block.h"
#include "../kernels.h"

#if !defined(__CUDACC__)
#include <cstring>
#include <memory>
#include <typeinfo>

#include "../stand_in/ptx/compiled.h"
#endif

namespace fo::cuda {

#if defined(__CUDACC__)

template <class Body, int kBlocks>
__global__ void __launch_bounds__(kThreads, kBlocks) entry(const __grid_constant__ typename Body::Args args) {
  // Bytes, since tables have initial values, which shared memory must not have.
  __shared__ alignas(16) unsigned char memory[sizeof(typename Body::Shared)];
  GpuBlock<typename Body::Shared> block{reinterpret_cast<typename Body::Shared*>(memory)};
  Body::run(block, args);
}

#else

template <class Body, int kBlocks>
void entry(const Launch& launch, const void* args) {
  using Shared = typename Body::Shared;
  struct alignas(16) Memory {
    unsigned char bytes[sizeof(Shared)];
  };
  const auto memory = std::make_unique<Memory>();
  std::memset(memory->bytes, 0xa5, sizeof memory->bytes);  // nobody may count on what is there
  HostBlock<Shared> block(launch, reinterpret_cast<Shared*>(memory->bytes));
  Body::run(block, *static_cast<const typename Body::Args*>(args));
}

#endif

// A kernel but for its name. Names are put together in table.cpp: inline in every one of hundreds of kernels,
// that would be most of the host's code.
struct Unnamed {
  const void* function;
  int blocks;
  size_t arg_bytes;
};
template <class Body, int kBlocks>
Unnamed unnamed() {
  const auto* const function = reinterpret_cast<const void*>(&entry<Body, kBlocks>);
#if !defined(__CUDACC__)
  stand_in::know_body(function, typeid(Body).name(), kBlocks);
#endif
  return {function, kBlocks, sizeof(typename Body::Args)};
}

// Kernels are made once and live as long as the process.
const Kernel* make_kernel(const char* name, const Unnamed& kernel);
// `mode`: -1 for the only one.
const Kernel* make_kernel(const char* pass, const char* rule, int mode, const char* flavor,
                          const Unnamed& kernel);
template <class Body, int kBlocks = 4>
const Kernel* make_kernel(const char* name) {
  return make_kernel(name, unnamed<Body, kBlocks>());
}

}  // namespace fo::cuda
