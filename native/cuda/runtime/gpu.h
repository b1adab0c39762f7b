#pragma once
// A GPU, through the CUDA runtime. The primary context is used, which other users of CUDA in this process
// share.
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "../device.h"
#include "cublas_library.h"
#include "errors.h"

namespace fo::cuda {

// The kernels that were launched last, to name them when one of them has failed.
class Recent {
 public:
  void add(cudaStream_t stream, const char* kernel);
  // "the last kernels launched on the stream were ..."; null: on any stream.
  std::string text(cudaStream_t stream) const;

 private:
  static constexpr size_t kKept = 32, kShown = 4;
  struct Entry {
    cudaStream_t stream;
    const char* kernel;
  };
  Entry entries_[kKept] = {};
  size_t next_ = 0;
};

class Gpu : public Device {
 public:
  explicit Gpu(const Properties& properties) : properties_(properties) {}
  const Properties& properties() const override { return properties_; }

  void* allocate(size_t bytes) override;
  void free(void* memory) noexcept override;
  void* allocate_pinned(size_t bytes) override;
  void free_pinned(void* memory) noexcept override;
  PointerInfo pointer_info(const void* pointer) override;

  StreamHandle create_stream() override;
  void destroy_stream(StreamHandle) noexcept override;
  bool stream_alive(StreamHandle) override;
  void synchronize(StreamHandle) override;
  EventHandle create_event(bool timing) override;
  void destroy_event(EventHandle) noexcept override;
  void record(EventHandle, StreamHandle) override;
  void wait(StreamHandle, EventHandle) override;
  bool done(EventHandle) override;
  void synchronize_event(EventHandle) override;
  float milliseconds(EventHandle begin, EventHandle end) override;

  void copy(void* to, const void* from, size_t bytes, StreamHandle) override;
  void fill(void* to, int byte, size_t bytes, StreamHandle) override;
  void launch(const Kernel&, int blocks, const void* args, StreamHandle) override;
  void gemm(const Gemm&, StreamHandle) override;

  void begin_capture(StreamHandle) override;
  GraphHandle end_capture(StreamHandle) override;
  void abandon_capture(StreamHandle) noexcept override;
  void launch_graph(GraphHandle, StreamHandle) override;
  void destroy_graph(GraphHandle) noexcept override;

  void check() override;

 private:
  // cuBLAS for one stream: handles keep a stream and a workspace, so each stream has its own.
  struct Products {
    cublas::Handle handle;
    void* workspace;
  };

  // Throws when a call failed; of an asynchronous failure it names the kernels that may be to blame.
  void require(const char* call, cudaError_t, cudaStream_t stream = nullptr, const std::string& detail = "");
  void* allocate(const char* call, size_t bytes, bool pinned);
  void free_postponed() noexcept;
  const Products& products_of(cudaStream_t);
  void drop_products(cudaStream_t) noexcept;

  const Properties properties_;
  std::mutex mutex_;  // of all below
  Recent recent_;
  std::unordered_set<StreamHandle> streams_, destroyed_;
  std::unordered_map<GraphHandle, const char*> graphs_;  // and what they run
  std::set<std::string> graph_names_;
  std::unordered_map<cudaStream_t, std::string> captured_;  // kernels of captures that go on
  std::vector<void*> postponed_;                            // to be freed: a capture was in the way
  std::map<cudaStream_t, Products> products_;
};

// Base and size of the allocation, where the driver knows.
void driver_range(const void* pointer, PointerInfo* info);

// What cublas_presence() tells of; null: there is none.
const cublas::Library* cublas_library();

}  // namespace fo::cuda
