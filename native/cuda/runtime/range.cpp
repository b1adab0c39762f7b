// The one thing that only the driver's own interface tells: from where to where an allocation reaches.
#include <cuda.h>

#include <mutex>

#include "gpu.h"

namespace fo::cuda {
namespace {

using GetAttribute = decltype(&cuPointerGetAttribute);

// By the runtime, which has loaded the driver: this addon links no libcuda.
GetAttribute find_get_attribute() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuPointerGetAttribute", &function, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t error =
      cudaGetDriverEntryPoint("cuPointerGetAttribute", &function, cudaEnableDefault, &found);
#endif
  if (error == cudaSuccess && found == cudaDriverEntryPointSuccess) return GetAttribute(function);
  cudaGetLastError();
  return nullptr;
}

}  // namespace

void driver_range(const void* pointer, PointerInfo* info) {
  static const GetAttribute get_attribute = find_get_attribute();
  if (!get_attribute) return;
  const auto address = reinterpret_cast<CUdeviceptr>(pointer);
  CUdeviceptr base = 0;
  size_t bytes = 0;
  if (get_attribute(&base, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, address) != CUDA_SUCCESS) return;
  if (get_attribute(&bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, address) != CUDA_SUCCESS) return;
  info->base = uintptr_t(base);
  info->bytes = bytes;
}

}  // namespace fo::cuda
