#pragma once
// What the CUDA runtime answers, as Faults.
#include <cuda_runtime_api.h>

#include <string>

#include "../device.h"

namespace fo::cuda {

// Whether the error has ended all use of the device by this process.
bool is_sticky(cudaError_t);

// The Fault for a failed call, with what is known besides; clears the runtime's own memory of the error.
Fault fault_of(const char* call, cudaError_t, const std::string& detail);

inline void check(const char* call, cudaError_t error) {
  if (error != cudaSuccess) throw fault_of(call, error, "");
}

// Makes a device current for as long as it lives.
class Current {
 public:
  explicit Current(int device);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = -1;  // -1: nothing to restore
};

// Lets this thread ask and allocate while it captures a stream: the calls meant have no part in the graph.
class Uncaptured {
 public:
  Uncaptured() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~Uncaptured() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  Uncaptured(const Uncaptured&) = delete;
  Uncaptured& operator=(const Uncaptured&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

std::string hex(const void* pointer);

}  // namespace fo::cuda
