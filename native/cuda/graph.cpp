// A step recorded once and launched whole.
#include "reclaimer.h"
#include "stepper.h"

namespace fo::cuda {

void CudaStepper::drop_graph() noexcept {
  if (!graph_) return;
  Device* const device = &device_;
  Reclaimer::of(device_).retire([device, graph = graph_] { device->destroy_graph(graph); });
  graph_ = nullptr;
}

// Launches the step's graph, which is recorded first where it is not what this step needs. The first step on
// new tables is taken without one: whatever its kernels need to be loaded, is then.
bool CudaStepper::run_graph(const StepSettings& settings) {
  if (!settings.graph) return false;
  if (warm_ != builds_) {
    warm_ = builds_;
    return false;
  }
  const GraphKey key{settings.max_grad_norm, uint32_t(settings.non_finite), builds_};
  if (!graph_ || !(graph_key_ == key)) {
    drop_graph();
    const Reclaimer::Pause pause(Reclaimer::of(device_));
    device_.begin_capture(stream_->handle);
    try {
      run_passes(settings);
    } catch (...) {
      device_.abandon_capture(stream_->handle);
      throw;
    }
    graph_ = device_.end_capture(stream_->handle);
    graph_key_ = key;
  }
  device_.launch_graph(graph_, stream_->handle);
  return true;
}

}  // namespace fo::cuda
