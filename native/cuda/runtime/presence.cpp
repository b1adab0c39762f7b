// What this machine has: cuda/device.h's functions.
#include <cuda_runtime_api.h>

#include <mutex>
#include <string>
#include <vector>

#include "gpu.h"

namespace fo::cuda {
namespace {

constexpr int kOldestMajor = 8;  // sm_80 is the oldest that code is compiled for

std::string dotted(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, device) == cudaSuccess ? value : 0;
}

Properties properties_of(int index) {
  Properties properties{};
  properties.index = index;
  cudaDeviceProp found{};
  if (cudaGetDeviceProperties(&found, index) == cudaSuccess) {
    properties.name = found.name;
    properties.memory = found.totalGlobalMem;
  }
  properties.major = attribute(cudaDevAttrComputeCapabilityMajor, index);
  properties.minor = attribute(cudaDevAttrComputeCapabilityMinor, index);
  properties.multiprocessors = attribute(cudaDevAttrMultiProcessorCount, index);
  properties.l2_bytes = size_t(attribute(cudaDevAttrL2CacheSize, index));
  const int ratio = attribute(cudaDevAttrSingleToDoublePrecisionPerfRatio, index);
  properties.fast_float64 = ratio > 0 && ratio <= 4;
  return properties;
}

// Why there is no device to use, when asking for their number failed.
std::string reason_of(cudaError_t error, int driver, int runtime) {
  if (driver == 0) return "no NVIDIA driver is installed (libcuda.so.1 could not be loaded)";
  if (error == cudaErrorInsufficientDriver)
    return "the driver supports CUDA " + dotted(driver) + ", older than CUDA " + dotted(runtime) +
           ", which this build needs";
  if (error == cudaErrorNoDevice)
    return "the driver is there, but no GPU is visible (see CUDA_VISIBLE_DEVICES)";
  return std::string("cudaGetDeviceCount failed with ") + cudaGetErrorName(error) + ": " +
         cudaGetErrorString(error);
}

Presence look() {
  Presence presence;
  int driver = 0, runtime = 0, count = 0;
  cudaRuntimeGetVersion(&runtime);
  presence.runtime = dotted(runtime);
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (driver != 0) presence.driver = dotted(driver);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    presence.reason = reason_of(error, driver, runtime);
    return presence;
  }
  std::string old;
  for (int index = 0; index < count; ++index) {
    const Properties properties = properties_of(index);
    if (properties.major >= kOldestMajor) {
      presence.devices.push_back(properties);
    } else {
      old += (old.empty() ? "" : ", ") + properties.name + " (" + std::to_string(properties.major) + "." +
             std::to_string(properties.minor) + ")";
    }
  }
  cudaGetLastError();
  if (presence.devices.empty())
    presence.reason = old.empty() ? "the driver lists no GPU"
                                  : "a GPU of compute capability 8.0 or later is needed, but there is " + old;
  return presence;
}

}  // namespace

const Presence& presence() {
  static const Presence* const found = new Presence(look());
  return *found;
}

Device& device(int index) {
  static std::mutex mutex;
  static auto* devices = new std::vector<Gpu*>;
  const std::lock_guard lock(mutex);
  for (Gpu* gpu : *devices)
    if (gpu->properties().index == index) return *gpu;
  for (const Properties& properties : presence().devices) {
    if (properties.index != index) continue;
    devices->push_back(new Gpu(properties));
    return *devices->back();
  }
  std::string listed;
  for (const Properties& properties : presence().devices)
    listed += (listed.empty() ? "" : ", ") + std::to_string(properties.index);
  throw Fault("cudaSetDevice", int(cudaErrorInvalidDevice), "cudaErrorInvalidDevice",
              presence().reason.empty()
                  ? "there is no GPU " + std::to_string(index) + " that can be used; there are " + listed
                  : presence().reason);
}

}  // namespace fo::cuda
