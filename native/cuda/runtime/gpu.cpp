// Faults, memory, copies and kernels.
#include "gpu.h"

#include <algorithm>
#include <utility>

namespace fo::cuda {

void Recent::add(cudaStream_t stream, const char* kernel) { entries_[next_++ % kKept] = {stream, kernel}; }

std::string Recent::text(cudaStream_t stream) const {
  std::string names;
  size_t shown = 0;
  for (size_t i = next_; i > 0 && next_ - i < kKept && shown < kShown; --i) {
    const Entry& entry = entries_[(i - 1) % kKept];
    if (stream && entry.stream != stream) continue;
    names = entry.kernel + (names.empty() ? "" : ", " + names);
    ++shown;
  }
  return names.empty() ? "" : "the last kernels launched there were " + names;
}

void Gpu::require(const char* call, cudaError_t error, cudaStream_t stream, const std::string& detail) {
  if (error == cudaSuccess) return;
  std::string text = detail.empty() ? cudaGetErrorString(error) : detail;
  if (is_sticky(error)) {
    const std::lock_guard lock(mutex_);
    const std::string recent = recent_.text(stream);
    if (!recent.empty()) text += "; " + recent;
    text += "; GPU " + std::to_string(properties_.index) + " cannot be used by this process any more";
  }
  throw fault_of(call, error, text);
}

void Gpu::free_postponed() noexcept {
  std::vector<void*> postponed;
  {
    const std::lock_guard lock(mutex_);
    postponed.swap(postponed_);
  }
  for (void* memory : postponed) free(memory);
}

void* Gpu::allocate(const char* call, size_t bytes, bool pinned) {
  const Current current(properties_.index);
  free_postponed();
  void* memory = nullptr;
  const size_t some = std::max<size_t>(bytes, 1);
  const cudaError_t error = pinned ? cudaHostAlloc(&memory, some, cudaHostAllocMapped | cudaHostAllocPortable)
                                   : cudaMalloc(&memory, some);
  if (error != cudaErrorMemoryAllocation) {
    require(call, error);
    return memory;
  }
  std::string detail = std::to_string(bytes) + " bytes were asked for";
  size_t unused = 0, all = 0;
  if (!pinned && cudaMemGetInfo(&unused, &all) == cudaSuccess)
    detail += ", and " + std::to_string(unused) + " of the " + std::to_string(all) + " bytes of GPU " +
              std::to_string(properties_.index) + " are free";
  Fault fault = fault_of(call, error, detail);
  fault.bytes = bytes;
  throw fault;
}

// The runtime's own allocator: memory is allocated when a model is, not in a step, and no pool of
// ours holds what others on the GPU could use. cudaFree waits for the GPU, which is rare enough.
void* Gpu::allocate(size_t bytes) { return allocate("cudaMalloc", bytes, false); }

void Gpu::free(void* memory) noexcept {
  if (!memory) return;
  int before = 0;
  cudaGetDevice(&before);
  cudaSetDevice(properties_.index);
  const cudaError_t error = cudaFree(memory);
  if (error != cudaSuccess) cudaGetLastError();
  cudaSetDevice(before);
  // Not while this thread captures. After a sticky fault there is nothing left to free.
  if (error == cudaErrorStreamCaptureUnsupported || error == cudaErrorStreamCaptureImplicit) {
    const std::lock_guard lock(mutex_);
    postponed_.push_back(memory);
  }
}

void* Gpu::allocate_pinned(size_t bytes) { return allocate("cudaHostAlloc", bytes, true); }

void Gpu::free_pinned(void* memory) noexcept {
  if (memory && cudaFreeHost(memory) != cudaSuccess) cudaGetLastError();
}

PointerInfo Gpu::pointer_info(const void* pointer) {
  const Current current(properties_.index);
  cudaPointerAttributes attributes{};
  require("cudaPointerGetAttributes", cudaPointerGetAttributes(&attributes, pointer));
  PointerInfo info{PointerInfo::kUnknown, attributes.device, 0, 0};
  if (attributes.type == cudaMemoryTypeHost) info.kind = PointerInfo::kHost;
  if (attributes.type == cudaMemoryTypeDevice) info.kind = PointerInfo::kDevice;
  if (attributes.type == cudaMemoryTypeManaged) info.kind = PointerInfo::kManaged;
  if (info.kind == PointerInfo::kUnknown) return info;
  driver_range(pointer, &info);
  return info;
}

void Gpu::copy(void* to, const void* from, size_t bytes, StreamHandle handle) {
  if (bytes == 0) return;
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  cudaPointerAttributes target{}, source{};
  require("cudaPointerGetAttributes", cudaPointerGetAttributes(&target, to));
  require("cudaPointerGetAttributes", cudaPointerGetAttributes(&source, from));
  require("cudaMemcpyAsync", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), stream);
  // Whether the runtime has waited for pageable memory by itself depends on sizes and systems.
  if (target.type == cudaMemoryTypeUnregistered || source.type == cudaMemoryTypeUnregistered)
    require("cudaMemcpyAsync", cudaStreamSynchronize(stream), stream);
}

void Gpu::fill(void* to, int byte, size_t bytes, StreamHandle handle) {
  if (bytes == 0) return;
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  require("cudaMemsetAsync", cudaMemsetAsync(to, byte, bytes, stream), stream);
}

void Gpu::launch(const Kernel& kernel, int blocks, const void* args, StreamHandle handle) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  {
    const std::lock_guard lock(mutex_);
    recent_.add(stream, kernel.name);
    if (!captured_.empty())
      for (auto& [origin, names] : captured_) names += (names.empty() ? "" : ", ") + std::string(kernel.name);
  }
  void* pointers[] = {const_cast<void*>(args)};
  const cudaError_t error =
      cudaLaunchKernel(kernel.entry, dim3(blocks), dim3(kernel.threads), pointers, 0, stream);
  if (error == cudaSuccess) return;
  std::string detail = std::string(cudaGetErrorString(error)) + ", launching " + std::to_string(blocks) +
                       " blocks of kernel " + kernel.name;
  if (error == cudaErrorNoKernelImageForDevice)
    detail = "this build has no code for GPU " + std::to_string(properties_.index) +
             ", whose compute capability is " + std::to_string(properties_.major) + "." +
             std::to_string(properties_.minor);
  require("cudaLaunchKernel", error, stream, detail);
}

void Gpu::check() {
  const Current current(properties_.index);
  const Uncaptured uncaptured;
  const cudaError_t error = cudaStreamQuery(cudaStreamPerThread);  // which has no work, ours at least
  if (error == cudaErrorNotReady) {
    cudaGetLastError();
  } else if (is_sticky(error)) {
    require("cudaStreamQuery", error);
  } else if (error != cudaSuccess) {
    cudaGetLastError();
  }
}

}  // namespace fo::cuda
