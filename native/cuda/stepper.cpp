#include "stepper.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace fo::cuda {

CudaStepper::CudaStepper(std::vector<const RuleInfo*> rules, std::shared_ptr<Stream> stream)
    : StepperBase(std::move(rules), [stream](size_t bytes) { return allocate_slab(stream, bytes); }),
      stream_(std::move(stream)),
      device_(stream_->device),
      tables_(stream_),
      shared_squares_(stream_),
      staging_(stream_),
      outcomes_(stream_),
      muon_(&device_) {}

CudaStepper::~CudaStepper() {
  drop_graph();
  if (muon_.workspace_bytes() == 0) return;
  try {
    if (stream_->alive()) device_.synchronize(stream_->handle);
  } catch (const Fault&) {
    // Whoever looks at the device next is told; here is only memory to be given back.
  }
}

StepOutcome CudaStepper::step(const double* hyper, const StepSettings& settings) {
  StepOutcome outcome;
  device_.check();
  read_groups(hyper);
  try {
    bring_up_to_date(settings, &outcome.bytes_wanted);
    if (outcome.bytes_wanted > 0) return outcome;
    reserve_muon(settings);
  } catch (const Fault& fault) {
    if (!fault.out_of_memory) throw;
    outcome.bytes_wanted = std::max<size_t>(fault.bytes, 1);
    return outcome;
  }
  if (facts_.device_counts)
    upload_hypers(hyper, settings);
  else
    write_slots(args_.inline_slots, settings);
  ++serial_;
  if (!run_graph(settings)) run_passes(settings);
  send_reports(hyper, settings);
  ahead_ = true;
  outcome.applied = true;
  outcome.grad_norm = settings.known_norm;
  outcome.bad_tensor = settings.known_bad;
  if (facts_.measures) {
    outcomes_.mark(serial_);
    outcome.pending = serial_;
    if (settings.non_finite == NonFinite::kThrow) outcome = wait(serial_);
  }
  if (!facts_.device_counts && outcome.applied) commit();
  return outcome;
}

StepOutcome CudaStepper::wait(uint64_t serial) {
  Outcome found;
  StepOutcome outcome;
  if (!outcomes_.wait(serial, &found)) return outcome;
  outcome.applied = found.applied != 0;
  outcome.grad_norm = found.grad_norm;
  const std::vector<int>* tensors = &tensor_of_row_;
  for (auto it = earlier_.rbegin(); it != earlier_.rend() && serial <= it->first; ++it) tensors = &it->second;
  outcome.bad_tensor = found.bad_tensor < 0 ? -1 : (*tensors)[size_t(found.bad_tensor)];
  return outcome;
}

}  // namespace fo::cuda
