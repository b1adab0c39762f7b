// Step counts and coefficients: the host's own, or what the device needs to compute them.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "slot.h"
#include "stepper.h"

namespace fo::cuda {

void CudaStepper::write_slots(Slot* slots, const StepSettings& settings) {
  const StepFacts facts{1 / settings.grad_scale, settings.lookahead == Lookahead::kSync,
                        settings.lookahead_alpha};
  for (HostClock& clock : clocks_) {
    const Group& group = groups_[size_t(clock.group)];
    for (uint32_t i = 0; i < clock.slots; ++i) {
      std::copy(clock.scalars, clock.scalars + kMaxScalars, clock.next_scalars);
      const uint32_t slot = clock.first_slot + i;
      fill_slot(&slots[slot], uint32_t(group.rule->index), clock.is_double, group.hyper, clock.t + 1,
                clock.next_scalars, &shapes_[2 * slot], facts);
    }
  }
}

// The step has been taken: its counts are the last ones now.
void CudaStepper::commit() {
  for (HostClock& clock : clocks_) {
    clock.t += 1;
    std::copy(clock.next_scalars, clock.next_scalars + kMaxScalars, clock.scalars);
  }
  ahead_ = true;
}

void CudaStepper::catch_up() {
  if (!built_ || !ahead_) return;
  if (facts_.device_counts) {
    std::vector<Clock> clocks(clocks_.size());
    download(device_, clocks.data(), at<char>(layout_.clocks), clocks.size() * sizeof(Clock),
             stream_->handle);
    for (size_t i = 0; i < clocks.size(); ++i) {
      clocks_[i].t = clocks[i].t;
      std::copy(clocks[i].scalars, clocks[i].scalars + kMaxScalars, clocks_[i].scalars);
    }
  }
  for (size_t row = 0; row < rows_.size(); ++row) {
    Tensor& tensor = tensors_.all()[size_t(tensor_of_row_[row])];
    const HostClock& clock = clocks_[size_t(clock_of_row_[row])];
    tensor.step = int64_t(clock.t);
    std::copy(clock.scalars, clock.scalars + kMaxScalars, tensor.scalars);
  }
  ahead_ = false;
}

// What has been applied beyond what the caller knows is asked of the outcomes, which are there by now.
Control CudaStepper::control_of(const StepSettings& settings) {
  uint32_t beyond = 0;
  for (uint64_t serial = settings.known + 1; facts_.measures && serial <= serial_; ++serial) {
    Outcome outcome;
    if (outcomes_.wait(serial, &outcome) && outcome.applied) ++beyond;
  }
  Control control{};
  control.applied = settings.applied + beyond;
  control.lookahead_now = settings.lookahead_step + beyond;
  control.serial = serial_;
  return control;
}

// Rows of hyper-parameters and what else the device is told by the host, where it differs from the last.
void CudaStepper::upload_hypers(const double* hyper, const StepSettings& settings) {
  const size_t row = hyper_count(), count = settings.rows * row;
  if (hypers_.size() != count || !std::equal(hypers_.begin(), hypers_.end(), hyper)) {
    hypers_.assign(hyper, hyper + count);
    staging_.upload(at<char>(layout_.hypers), hyper, count * sizeof(double));
  }
  Control next = control_;
  next.first_row = settings.first_row;
  next.rows = settings.rows;
  next.hypers = uint32_t(row);
  next.unscale64 = 1 / settings.grad_scale;
  next.unscale = float(next.unscale64);
  next.alpha64 = settings.lookahead_alpha;
  next.alpha = float(next.alpha64);
  next.lookahead_k = settings.lookahead == Lookahead::kOff ? 0 : settings.lookahead_k;
  if (std::memcmp(&next, &control_, sizeof next) == 0) return;
  control_ = next;
  // The device writes what lies before and behind.
  constexpr size_t kFirst = offsetof(Control, first_row), kEnd = offsetof(Control, lookahead_now);
  staging_.upload(at<char>(layout_.control) + kFirst, reinterpret_cast<const char*>(&control_) + kFirst,
                  kEnd - kFirst);
}

}  // namespace fo::cuda
