#pragma once
// The stand-in's Device: checks what a GPU would, counts, and queues.
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "../device.h"
#include "world.h"

namespace fo::cuda::stand_in {

class StandIn : public Device {
 public:
  explicit StandIn(int index);
  const Properties& properties() const override { return properties_; }

  void* allocate(size_t bytes) override;
  void free(void* memory) noexcept override;
  void* allocate_pinned(size_t bytes) override;
  void free_pinned(void* memory) noexcept override;
  PointerInfo pointer_info(const void* pointer) override;

  StreamHandle create_stream() override;
  void destroy_stream(StreamHandle handle) noexcept override;
  bool stream_alive(StreamHandle handle) override;
  void synchronize(StreamHandle handle) override;
  EventHandle create_event(bool timing) override;
  void destroy_event(EventHandle handle) noexcept override;
  void record(EventHandle handle, StreamHandle on) override;
  void wait(StreamHandle waiting, EventHandle handle) override;
  bool done(EventHandle handle) override;
  void synchronize_event(EventHandle handle) override;
  float milliseconds(EventHandle begin, EventHandle end) override;

  void copy(void* to, const void* from, size_t bytes, StreamHandle on) override;
  void fill(void* to, int byte, size_t bytes, StreamHandle on) override;
  void launch(const Kernel& kernel, int blocks, const void* args, StreamHandle on) override;
  void gemm(const Gemm& gemm, StreamHandle on) override;

  void begin_capture(StreamHandle handle) override;
  GraphHandle end_capture(StreamHandle handle) override;
  void abandon_capture(StreamHandle handle) noexcept override;
  void launch_graph(GraphHandle handle, StreamHandle on) override;
  void destroy_graph(GraphHandle handle) noexcept override;

  void check() override;

 private:
  // What every call begins with: the lock, a fault of the device, a failure that was planned.
  struct Call {
    Call(StandIn& device, const char* name, size_t bytes = 0);
    std::lock_guard<std::mutex> lock;
  };

  int index() const { return properties_.index; }
  void check_fault(const char* call) const;
  void check_plan(const char* call, size_t bytes) const;
  void* allocate(const char* call, PointerInfo::Kind, size_t bytes);
  Fault out_of_memory(const char* call, size_t bytes) const;

  Stream* stream_of(const char* call, StreamHandle handle);
  Event& event_of(const char* call, EventHandle handle);
  MarkRef waited_for(const char* call, EventHandle handle);
  void wait_for(const char* call, Stream* stream);
  void run(const Kernel& kernel, int blocks, const void* args);

  Properties properties_;
};

// Puts work into the stream, or into the graph that is recorded from it.
void queue(Stream* stream, std::function<void()> run);
// A call that no capture survives: breaks those of this thread, and `capture`.
Fault broken(const char* call, const char* why, const std::shared_ptr<Capture>& capture = nullptr);
std::string hex(const void* pointer);

}  // namespace fo::cuda::stand_in
