#pragma once
// From a body to a kernel: a __global__ function where nvcc compiles, else a function for the executor.
#include <cstring>
#include <string>

#include "../block.h"
#include "../kernels.h"

#if !defined(__CUDACC__)
#include <memory>
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

// Kernels are made once and live as long as the process.
template <class Body, int kBlocks = 4>
const Kernel* make_kernel(const std::string& name) {
  // Characters alone: of a string object nobody would know any more, and leak checkers would complain.
  auto* const lasting = new char[name.size() + 1];
  std::memcpy(lasting, name.c_str(), name.size() + 1);
  return new Kernel{lasting, reinterpret_cast<const void*>(&entry<Body, kBlocks>), kThreads, kBlocks,
                    sizeof(typename Body::Args)};
}

}  // namespace fo::cuda
