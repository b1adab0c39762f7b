// What diagnostics measured: sums of chunks come back behind the step, and are added up when they are read.
#include <cmath>
#include <cstring>

#include "reclaimer.h"
#include "stepper.h"

namespace fo::cuda {

// Room for what a step with diagnostics sends. Throws Fault, with everything as it was.
void CudaStepper::reserve_reports() {
  sent_bytes_ = facts_.diagnostics ? layout_.bytes - layout_.sums : 0;
  if (!facts_.diagnostics) return;
  auto memory = pinned(device_, sent_bytes_ + muon_tasks_.size() * sizeof(MuonReport) + 1);
  if (!sent_event_) sent_event_ = std::make_unique<Event>(device_, false);
  if (sent_) Reclaimer::of(device_).retire([old = std::move(sent_)] {});
  sent_ = std::move(memory);
}

MuonReport* CudaStepper::muon_reports() const {
  return sent_ && facts_.diagnostics
             ? reinterpret_cast<MuonReport*>(static_cast<char*>(sent_.get()) + sent_bytes_)
             : nullptr;
}

void CudaStepper::send_reports(const double* hyper, const StepSettings& settings) {
  if (!facts_.diagnostics) return;
  if (sent_bytes_ > 0) device_.copy(sent_.get(), at<char>(layout_.sums), sent_bytes_, stream_->handle);
  sent_event_->record(stream_->handle);
  // The row that was the step's own; the caller reads reports before he asks for another step.
  const uint64_t row = std::min<uint64_t>(settings.applied - settings.first_row, settings.rows - 1);
  sent_hyper_.assign(hyper + row * hyper_count(), hyper + (row + 1) * hyper_count());
  unread_ = true;
}

namespace {

double sum_of(const char* sums, bool is_double, uint32_t chunk, int sum) {
  const size_t i = size_t(chunk) * kMaxSums + size_t(sum);
  return is_double ? reinterpret_cast<const double*>(sums)[i] : reinterpret_cast<const float*>(sums)[i];
}

}  // namespace

const std::vector<TensorReport>& CudaStepper::reports() {
  if (!unread_) return reports_;
  unread_ = false;
  sent_event_->synchronize();
  reports_.assign(rows_.size(), {0, 0, 0, NAN, NAN});
  for (const Class& c : classes_) {
    const bool is_double = c.flavor == Flavor::kDouble;
    const auto place = [&](size_t at) { return static_cast<const char*>(sent_.get()) + (at - layout_.sums); };
    uint32_t last = uint32_t(-1);
    for (uint32_t chunk = 0; chunk < c.chunks; ++chunk) {
      const uint32_t row = class_chunks_[c.first_chunk + chunk].tensor;
      if (row == last) continue;
      last = row;
      const auto total = [&](const char* sums, int sum) {
        double all = 0;
        for (uint32_t i = 0; i < rows_[row].chunks; ++i) all += sum_of(sums, is_double, chunk + i, sum);
        return all;
      };
      const char* const observed = place(c.observed);
      TensorReport& report = reports_[row];
      report.grad_norm = std::sqrt(total(observed, kGradSquares));
      report.update_norm = std::sqrt(total(observed, kUpdateSquares));
      report.param_norm = std::sqrt(total(observed, kParamSquares));
      if (c.norm) report.trust_ratio = trust_ratio(row, total, place(c.partials));
    }
  }
  for (size_t i = 0; i < muon_tasks_.size(); ++i) {
    const MuonReport& own = muon_reports()[i];
    reports_[muon_tasks_[i].tensor] = {std::sqrt(own.grad_squares), std::sqrt(own.update_squares),
                                       std::sqrt(own.param_squares), NAN, own.error};
  }
  return reports_;
}

// Computed again, as the device has done it.
template <class Total>
double CudaStepper::trust_ratio(uint32_t row, const Total& total, const char* partials) const {
  const Tensor& tensor = tensors_.all()[size_t(tensor_of_row_[row])];
  const double* hyper = sent_hyper_.data();
  for (int group = 0; group < tensor.group; ++group) hyper += groups_[size_t(group)].rule->hyper_names.size();
  double sums[kMaxSums], scalars[kMaxScalars] = {};
  for (int k = 0; k < kMaxSums; ++k) sums[k] = total(partials, k);
  const RuleInfo& rule = *group_of(tensor).rule;
  Coef coef;
  rule.f64.prepare(hyper, 1, scalars, coef.bytes);
  return rule.f64.whole(hyper, {sums, double(tensor.length), tensor.shape.ndim}, coef.bytes);
}

}  // namespace fo::cuda
