#include "errors.h"

#include <cinttypes>
#include <cstdio>

namespace fo::cuda {

bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorCudartUnloading:
    case cudaErrorExternalDevice:
      return true;
    default:
      return false;
  }
}

Fault fault_of(const char* call, cudaError_t error, const std::string& detail) {
  cudaGetLastError();  // else the next user of the runtime in this thread finds our error
  Fault fault(call, int(error), cudaGetErrorName(error), detail.empty() ? cudaGetErrorString(error) : detail);
  fault.out_of_memory = error == cudaErrorMemoryAllocation;
  fault.sticky = is_sticky(error);
  return fault;
}

Current::Current(int device) {
  int before = -1;
  check("cudaGetDevice", cudaGetDevice(&before));
  if (before == device) return;
  check("cudaSetDevice", cudaSetDevice(device));
  before_ = before;
}

Current::~Current() {
  if (before_ >= 0) cudaSetDevice(before_);
}

std::string hex(const void* pointer) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%" PRIxPTR, reinterpret_cast<uintptr_t>(pointer));
  return text;
}

}  // namespace fo::cuda
