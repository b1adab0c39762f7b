#pragma once
// What the backend asks of a GPU, as an interface. cuda/runtime/ implements it with the CUDA runtime;
// cuda/stand_in/ with memory of this process, so that everything above it runs, and is tested, without a GPU.
//
// Calls throw Fault when the device refuses. Work is queued on streams in order; an error in queued work
// surfaces at a later call, as a Fault that names what was running. After a sticky fault every call throws
// it.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace fo::cuda {

// A call that failed: `call` as the runtime names it ("cudaMalloc"), its code and name, and what was asked.
struct Fault : std::runtime_error {
  Fault(std::string call, int code, std::string name, std::string detail);
  std::string call;
  int code;
  std::string name;
  bool out_of_memory = false;
  size_t bytes = 0;  // asked for, where memory was the problem
  bool sticky = false;
  std::string kernel;  // that was running, where queued work failed
};

struct Properties {
  int index;
  std::string name;
  int major, minor;  // compute capability
  int multiprocessors;
  size_t memory, l2_bytes;
  bool fast_float64;  // at least half the rate of float32, or a quarter
};

// One kernel of the backend. It takes one struct by value, of `arg_bytes` (4 KiB at most).
struct Kernel {
  const char* name;
  const void* entry;  // a __global__ function; for the stand-in a void(*)(const Launch&, const void* args)
  int threads;        // of a block
  int blocks_per_multiprocessor;
  size_t arg_bytes;
};

// Handles are the runtime's own: a caller's cudaStream_t is a StreamHandle.
using StreamHandle = void*;
using EventHandle = void*;
using GraphHandle = void*;  // instantiated, ready to launch

// Where a pointer belongs.
struct PointerInfo {
  enum Kind { kUnknown, kHost, kDevice, kManaged } kind;  // pageable memory of the host is unknown
  int device;
  uintptr_t base;  // of its allocation; 0: not known
  size_t bytes;    // from `base`
};

// 16-bit and 32-bit products, as cuBLAS takes them: column-major, C = alpha op(A) op(B) + beta C, a batch at
// equal distances.
enum class GemmType : uint8_t { kF32, kTf32, kBf16, kF16 };  // of A, B and C; sums in float32
struct Gemm {
  GemmType type;
  bool transpose_a, transpose_b;
  int m, n, k;
  float alpha, beta;
  const void* a;
  int64_t lda, stride_a;
  const void* b;
  int64_t ldb, stride_b;
  void* c;
  int64_t ldc, stride_c;
  int batch;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const Properties& properties() const = 0;

  virtual void* allocate(size_t bytes) = 0;  // 256-byte aligned, contents undefined; never null for 0 bytes
  virtual void free(void* memory) noexcept = 0;     // waits for nothing: the caller knows that nobody uses it
  virtual void* allocate_pinned(size_t bytes) = 0;  // of the host; the device reads and writes it too
  virtual void free_pinned(void* memory) noexcept = 0;
  virtual PointerInfo pointer_info(const void* pointer) = 0;

  virtual StreamHandle create_stream() = 0;  // does not wait for the legacy stream
  virtual void destroy_stream(StreamHandle) noexcept = 0;
  virtual bool stream_alive(StreamHandle) = 0;  // false: it was destroyed, or never was one
  virtual void synchronize(StreamHandle) = 0;
  virtual EventHandle create_event(bool timing) = 0;
  virtual void destroy_event(EventHandle) noexcept = 0;
  virtual void record(EventHandle, StreamHandle) = 0;
  virtual void wait(StreamHandle, EventHandle) = 0;
  virtual bool done(EventHandle) = 0;
  virtual void synchronize_event(EventHandle) = 0;
  virtual float milliseconds(EventHandle begin, EventHandle end) = 0;

  // Any direction, in the order of the stream. Of pageable host memory: what is read may be overwritten when
  // it returns, and what is written is there.
  virtual void copy(void* to, const void* from, size_t bytes, StreamHandle) = 0;
  virtual void fill(void* to, int byte, size_t bytes, StreamHandle) = 0;
  virtual void launch(const Kernel&, int blocks, const void* args, StreamHandle) = 0;

  // Everything queued on the stream (and on streams made to wait for it) in between becomes a graph.
  virtual void begin_capture(StreamHandle) = 0;
  virtual GraphHandle end_capture(StreamHandle) = 0;
  virtual void abandon_capture(StreamHandle) noexcept = 0;
  virtual void launch_graph(GraphHandle, StreamHandle) = 0;
  virtual void destroy_graph(GraphHandle) noexcept = 0;

  // Products. Throws Fault with what was tried when there is no cuBLAS. The workspace of each stream is the
  // device's own and allocated by the first product on it; results do not depend on the stream.
  virtual void gemm(const Gemm&, StreamHandle) = 0;

  // Throws a sticky fault of work that has failed, if there is one by now; waits for nothing.
  virtual void check() = 0;
};

// What this machine has, or why it has none. Reasons are parts of a sentence, without its full stop.
struct Presence {
  std::string reason;  // empty: devices can be used
  std::string driver;  // "13.0"; empty: there is none
  std::string runtime;
  std::vector<Properties> devices;
};
const Presence& presence();
// What is known of cuBLAS: its path and version, or everything that was tried.
struct CublasPresence {
  bool available;
  std::string path, reason;
  int version;
};
const CublasPresence& cublas_presence();

// The device `index`, made once and never destroyed; throws where presence() has none such.
Device& device(int index);

}  // namespace fo::cuda
