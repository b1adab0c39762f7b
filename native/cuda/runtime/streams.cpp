// Streams, events and graphs.
#include "gpu.h"

namespace fo::cuda {

StreamHandle Gpu::create_stream() {
  const Current current(properties_.index);
  cudaStream_t stream = nullptr;
  require("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const std::lock_guard lock(mutex_);
  destroyed_.erase(stream);  // the runtime gives addresses anew
  streams_.insert(stream);
  return stream;
}

void Gpu::destroy_stream(StreamHandle handle) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (streams_.erase(handle) == 0) return;
    destroyed_.insert(handle);
  }
  const auto stream = static_cast<cudaStream_t>(handle);
  drop_products(stream);
  if (cudaStreamDestroy(stream) != cudaSuccess) cudaGetLastError();
}

// Own streams are known. Of others the driver is asked, which tells most that are destroyed; that a handle
// was a stream once is the caller's word.
bool Gpu::stream_alive(StreamHandle handle) {
  if (reinterpret_cast<uintptr_t>(handle) < 3) return true;  // the default streams
  {
    const std::lock_guard lock(mutex_);
    if (streams_.count(handle)) return true;
    if (destroyed_.count(handle)) return false;
  }
  const Current current(properties_.index);
  unsigned flags = 0;
  const cudaError_t error = cudaStreamGetFlags(static_cast<cudaStream_t>(handle), &flags);
  if (error == cudaSuccess) return true;
  if (is_sticky(error)) require("cudaStreamGetFlags", error);
  cudaGetLastError();
  return false;
}

void Gpu::synchronize(StreamHandle handle) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  require("cudaStreamSynchronize", cudaStreamSynchronize(stream), stream);
}

EventHandle Gpu::create_event(bool timing) {
  const Current current(properties_.index);
  cudaEvent_t event = nullptr;
  require("cudaEventCreateWithFlags",
          cudaEventCreateWithFlags(&event, timing ? cudaEventDefault : cudaEventDisableTiming));
  return event;
}

void Gpu::destroy_event(EventHandle event) noexcept {
  if (cudaEventDestroy(static_cast<cudaEvent_t>(event)) != cudaSuccess) cudaGetLastError();
}

void Gpu::record(EventHandle event, StreamHandle handle) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  require("cudaEventRecord", cudaEventRecord(static_cast<cudaEvent_t>(event), stream), stream);
}

void Gpu::wait(StreamHandle handle, EventHandle event) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  require("cudaStreamWaitEvent", cudaStreamWaitEvent(stream, static_cast<cudaEvent_t>(event), 0), stream);
}

bool Gpu::done(EventHandle event) {
  const Current current(properties_.index);
  const Uncaptured uncaptured;
  const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event));
  if (error == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  require("cudaEventQuery", error);
  return true;
}

void Gpu::synchronize_event(EventHandle event) {
  const Current current(properties_.index);
  require("cudaEventSynchronize", cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}

float Gpu::milliseconds(EventHandle begin, EventHandle end) {
  const Current current(properties_.index);
  float milliseconds = 0;
  require("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin),
                                                       static_cast<cudaEvent_t>(end)));
  return milliseconds;
}

// Of this thread alone: other threads may go on to allocate and to wait.
void Gpu::begin_capture(StreamHandle handle) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  require("cudaStreamBeginCapture", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), stream);
  const std::lock_guard lock(mutex_);
  captured_[stream];
}

GraphHandle Gpu::end_capture(StreamHandle handle) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  std::string kernels;
  {
    const std::lock_guard lock(mutex_);
    kernels = "a graph (" + captured_[stream] + ")";
    captured_.erase(stream);
  }
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  if (ended != cudaSuccess && graph) cudaGraphDestroy(graph);
  require("cudaStreamEndCapture", ended, stream);
  cudaGraphExec_t ready = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&ready, graph, 0);
  cudaGraphDestroy(graph);
  require("cudaGraphInstantiate", error, stream);
  const std::lock_guard lock(mutex_);
  graphs_[ready] = graph_names_.insert(kernels).first->c_str();
  return ready;
}

void Gpu::abandon_capture(StreamHandle handle) noexcept {
  const auto stream = static_cast<cudaStream_t>(handle);
  {
    const std::lock_guard lock(mutex_);
    if (captured_.erase(stream) == 0) return;
  }
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream, &graph) != cudaSuccess) cudaGetLastError();
  if (graph) cudaGraphDestroy(graph);
}

void Gpu::launch_graph(GraphHandle graph, StreamHandle handle) {
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  {
    const std::lock_guard lock(mutex_);
    const auto known = graphs_.find(graph);
    if (known == graphs_.end())
      throw Fault("cudaGraphLaunch", int(cudaErrorInvalidValue), "cudaErrorInvalidValue",
                  "the graph " + hex(graph) + " is destroyed or none");
    recent_.add(stream, known->second);
  }
  require("cudaGraphLaunch", cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream), stream);
}

void Gpu::destroy_graph(GraphHandle graph) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (graphs_.erase(graph) == 0) return;
  }
  if (cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)) != cudaSuccess) cudaGetLastError();
}

}  // namespace fo::cuda
