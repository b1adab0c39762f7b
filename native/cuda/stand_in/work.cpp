// Work: copies, kernels and products.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "../block.h"
#include "device.h"
#include "products.h"
#include "ptx/compiled.h"

namespace fo::cuda::stand_in {
namespace {

constexpr int kMaxThreads = 1024;
constexpr size_t kMaxArgBytes = 4096;

// Whether it is memory that the stand-in gave out, as a whole.
bool owned(const char* call, const void* memory, size_t bytes) {
  const PointerInfo info = world().memory.find(memory);
  if (info.kind == PointerInfo::kUnknown) return false;
  if (reinterpret_cast<uintptr_t>(memory) - info.base + bytes <= info.bytes) return true;
  throw Fault(call, 1, "cudaErrorInvalidValue",
              std::to_string(bytes) + " bytes from " + hex(memory) + " on exceed its allocation of " +
                  std::to_string(info.bytes) + " bytes.");
}

// Whether work may touch these bytes.
bool holds(uint64_t address, size_t bytes) {
  const PointerInfo info = world().memory.find(reinterpret_cast<const void*>(address));
  return info.kind != PointerInfo::kUnknown && address - info.base + bytes <= info.bytes;
}

// Before work touches memory that was there when it was queued.
bool still_there(const void* memory, size_t bytes) {
  if (holds(reinterpret_cast<uint64_t>(memory), bytes)) return true;
  complain("Memory of a copy or fill was freed before the copy or fill ran.");
  return false;
}

}  // namespace

void queue(Stream* stream, std::function<void()> run) {
  if (!stream->capture) return world().queue.push(stream, {std::move(run), nullptr, nullptr, nullptr});
  stream->capture->tasks.push_back({std::move(run), stream->tail});
  stream->tail = {int(stream->capture->tasks.size()) - 1};
}

void StandIn::copy(void* to, const void* from, size_t bytes, StreamHandle on) {
  const Call call(*this, "cudaMemcpyAsync", bytes);
  Stream* stream = stream_of("cudaMemcpyAsync", on);
  if (bytes == 0) return;
  const bool to_pageable = !owned("cudaMemcpyAsync", to, bytes);
  const bool from_pageable = !owned("cudaMemcpyAsync", from, bytes);
  if (stream->capture && (to_pageable || from_pageable))
    throw broken("cudaMemcpyAsync", "pageable host memory cannot be copied in a capture.", stream->capture);
  ++world().counters.copies;
  world().counters.copied_bytes += bytes;
  if (from_pageable) {
    // The host may overwrite its memory at once; the device sees the copy in the order of the stream.
    const auto* first = static_cast<const unsigned char*>(from);
    auto staged = std::make_shared<std::vector<unsigned char>>(first, first + bytes);
    queue(stream, [to, staged, to_pageable] {
      if (to_pageable || still_there(to, staged->size())) std::memcpy(to, staged->data(), staged->size());
    });
  } else {
    queue(stream, [to, from, bytes, to_pageable] {
      if ((to_pageable || still_there(to, bytes)) && still_there(from, bytes)) std::memmove(to, from, bytes);
    });
  }
  if (to_pageable) wait_for("cudaMemcpyAsync", stream);
}

void StandIn::fill(void* to, int byte, size_t bytes, StreamHandle on) {
  const Call call(*this, "cudaMemsetAsync", bytes);
  Stream* stream = stream_of("cudaMemsetAsync", on);
  if (bytes == 0) return;
  if (!owned("cudaMemsetAsync", to, bytes))
    throw Fault("cudaMemsetAsync", 1, "cudaErrorInvalidValue", hex(to) + " is not memory of a device.");
  ++world().counters.fills;
  queue(stream, [to, byte, bytes] {
    if (still_there(to, bytes)) std::memset(to, byte, bytes);
  });
}

void StandIn::launch(const Kernel& kernel, int blocks, const void* args, StreamHandle on) {
  const Call call(*this, "cudaLaunchKernel");
  Stream* stream = stream_of("cudaLaunchKernel", on);
  if (blocks <= 0 || kernel.threads <= 0 || kernel.threads > kMaxThreads)
    throw Fault("cudaLaunchKernel", 9, "cudaErrorInvalidConfiguration",
                std::to_string(blocks) + " blocks of " + std::to_string(kernel.threads) +
                    " threads were asked for of " + kernel.name + ".");
  if (!kernel.entry || kernel.arg_bytes > kMaxArgBytes)
    throw Fault("cudaLaunchKernel", 1, "cudaErrorInvalidValue",
                std::string(kernel.name) + " has no entry or more arguments than fit.");
  if (!stream->capture) ++world().counters.launches[kernel.name];
  const std::shared_ptr<void> copied(std::malloc(std::max<size_t>(kernel.arg_bytes, 1)), std::free);
  std::memcpy(copied.get(), args, kernel.arg_bytes);
  queue(stream, [this, kernel, blocks, copied] { run(kernel, blocks, copied.get()); });
}

void StandIn::gemm(const Gemm& gemm, StreamHandle on) {
  const Call call(*this, "cublasGemmStridedBatchedEx");
  const CublasPresence& cublas = cublas_presence();
  if (!cublas.available) throw Fault("cublasCreate", 1, "CUBLAS_STATUS_NOT_INITIALIZED", cublas.reason);
  Stream* stream = stream_of("cublasGemmStridedBatchedEx", on);
  const int a_rows = gemm.transpose_a ? gemm.k : gemm.m, b_rows = gemm.transpose_b ? gemm.n : gemm.k;
  if (gemm.m < 0 || gemm.n < 0 || gemm.k < 0 || gemm.batch < 0 || gemm.lda < std::max(1, a_rows) ||
      gemm.ldb < std::max(1, b_rows) || gemm.ldc < std::max(1, gemm.m))
    throw Fault("cublasGemmStridedBatchedEx", 7, "CUBLAS_STATUS_INVALID_VALUE",
                "a dimension is negative or a leading dimension too small.");
  ++world().counters.gemms;
  queue(stream, [gemm] { multiply(gemm); });
}

void StandIn::run(const Kernel& kernel, int blocks, const void* args) {
  World& w = world();
  if (w.failures.strikes("sticky")) {
    w.faulted[index()] = kernel.name;
    return;
  }
  ++w.counters.runs[kernel.name];
  std::vector<int> order(blocks);
  std::iota(order.begin(), order.end(), 0);
  for (int i = blocks - 1; i > 0; --i) std::swap(order[i], order[w.queue.random(uint64_t(i) + 1)]);
  const uint64_t seed = w.queue.random();
  run_blocks(kernel, order, args, seed, holds);
}

}  // namespace fo::cuda::stand_in
