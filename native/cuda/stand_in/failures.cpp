#include "failures.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace fo::cuda::stand_in {
namespace {

const char* const kCalls[] = {"cudaMalloc",
                              "cudaHostAlloc",
                              "cudaPointerGetAttributes",
                              "cudaStreamCreateWithFlags",
                              "cudaStreamSynchronize",
                              "cudaStreamWaitEvent",
                              "cudaEventCreateWithFlags",
                              "cudaEventRecord",
                              "cudaEventQuery",
                              "cudaEventSynchronize",
                              "cudaEventElapsedTime",
                              "cudaMemcpyAsync",
                              "cudaMemsetAsync",
                              "cudaLaunchKernel",
                              "cudaStreamBeginCapture",
                              "cudaStreamEndCapture",
                              "cudaGraphInstantiate",
                              "cudaGraphLaunch",
                              "cublasCreate",
                              "cublasGemmStridedBatchedEx",
                              "ncclGetUniqueId",
                              "ncclCommInitRankConfig",
                              "ncclCommGetAsyncError",
                              "ncclCommFinalize",
                              "ncclAllReduce",
                              "ncclReduceScatter",
                              "ncclAllGather",
                              "ncclBroadcast",
                              "ncclReduce",
                              "ncclGroupEnd",
                              "sticky",
                              "notready"};

std::invalid_argument refusal(const std::string& part) {
  std::string message = "Expected a failure such as \"cudaMalloc:3\" or \"cudaMalloc:3+\" but received \"" +
                        part + "\"; calls:";
  for (const char* call : kCalls) message += std::string(" ") + call;
  return std::invalid_argument(message + ".");
}

}  // namespace

void Failures::plan(const std::string& text) {
  std::vector<Planned> planned;
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t colon = part.find(':');
    if (colon == std::string::npos) throw refusal(part);
    const std::string call = part.substr(0, colon);
    char* end = nullptr;
    const uint64_t count = std::strtoull(part.c_str() + colon + 1, &end, 10);
    const bool on = *end == '+';
    if (std::find(std::begin(kCalls), std::end(kCalls), call) == std::end(kCalls) || count == 0 ||
        *(end + (on ? 1 : 0)) != '\0')
      throw refusal(part);
    planned.push_back({call, count, on});
  }
  planned_ = std::move(planned);
}

bool Failures::strikes(const std::string& call) {
  bool strikes = false;
  for (Planned& planned : planned_) {
    if (planned.call != call || planned.left == 0) continue;
    if (call == "notready") {
      strikes = true;
      --planned.left;
    } else if (planned.left > 1) {
      --planned.left;
    } else {
      strikes = true;
      planned.left = planned.on ? 1 : 0;
    }
  }
  return strikes;
}

ErrorName planned_error(const std::string& call) {
  if (call == "cudaMalloc" || call == "cudaHostAlloc") return {2, "cudaErrorMemoryAllocation"};
  if (call == "cudaLaunchKernel") return {701, "cudaErrorLaunchOutOfResources"};
  if (call == "cublasCreate") return {3, "CUBLAS_STATUS_ALLOC_FAILED"};
  if (call == "cublasGemmStridedBatchedEx") return {13, "CUBLAS_STATUS_EXECUTION_FAILED"};
  return {999, "cudaErrorUnknown"};
}

}  // namespace fo::cuda::stand_in
