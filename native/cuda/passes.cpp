// The launches of a step.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include "body/decision.h"
#include "stepper.h"

namespace fo::cuda {

void CudaStepper::launch(const Kernel* kernel, uint32_t work, const void* args) {
  const int most = device_.properties().multiprocessors * kernel->blocks_per_multiprocessor;
  launch_blocks(kernel, std::min(work, uint32_t(most)), args);
}
void CudaStepper::launch_blocks(const Kernel* kernel, uint32_t blocks, const void* args) {
  device_.launch(*kernel, std::max(1, int(blocks)), args, stream_->handle);
}

// The launch that takes the squares of gradients, by runs of chunks, into `partials` and, of doubles,
// `observed`.
PassArgs CudaStepper::squares_of(const PassArgs& args, uint32_t run, void* partials, void* observed) const {
  PassArgs squares = args;
  squares.chunks = at<Chunk>(layout_.chunks);
  squares.chunk_count = uint32_t(chunks_.size());
  squares.run = run;
  squares.partials = partials;
  squares.observed = observed;
  return squares;
}
void CudaStepper::launch_squares(const PassArgs& args) {
  launch_blocks(squares_kernel(doubles_), runs_of(args.chunk_count, args.run), &args);
}

// Squares for a norm that many steppers share: a float for each chunk of each gradient.
std::vector<double> CudaStepper::squares(const double* hyper, const StepSettings& settings) {
  device_.check();
  read_groups(hyper);
  size_t bytes_wanted = 0;
  bring_up_to_date(settings, &bytes_wanted);
  if (bytes_wanted > 0) return {};
  if (facts_.device_counts)
    upload_hypers(hyper, settings);
  else
    write_slots(args_.inline_slots, settings);
  std::vector<float> sums(chunks_.size());
  shared_squares_.reserve(sums.size() * sizeof(float));
  PassArgs args = squares_of(args_, 0, shared_squares_.data(), nullptr);
  args.bad_chunks = nullptr;
  if (sums.empty()) return {};
  launch_squares(args);
  download(device_, sums.data(), shared_squares_.data(), sums.size() * sizeof(float), stream_->handle);
  return {sums.begin(), sums.end()};
}

// As the squares' launch and decide() have it from the same sums.
double CudaStepper::norm_of(const double* squares, size_t count) const {
  const uint32_t run = run_of(count);
  std::vector<float> partials(runs_of(count, run));
  for (size_t i = 0; i < partials.size(); ++i) {
    bool bad = false;
    for (size_t k = i << run; k < std::min(count, (i + 1) << run); ++k) {
      partials[i] += float(squares[k]);
      bad = bad || !std::isfinite(squares[k]);
    }
    if (!std::isfinite(partials[i]) && !bad) partials[i] = FLT_MAX;
  }
  float sums[kThreads];
  for (int thread = 0; thread < kThreads; ++thread)
    sums[thread] = part_of_sum(partials.data(), 1, uint32_t(partials.size()), thread);
  for (int width = kThreads / 2; width > 0; width /= 2)
    for (int thread = 0; thread < width; ++thread) sums[thread] += sums[thread + width];
  return std::sqrt(sums[0]);
}

float CudaStepper::clip_known(const StepSettings& settings) const {
  if (settings.known_norm == -1 || settings.max_grad_norm == 0) return 1;
  return clip_of(float(settings.known_norm), float(settings.max_grad_norm));
}

// What the arguments of all launches over these tables have in common.
void CudaStepper::set_arguments(const StepSettings&) {
  args_ = PassArgs{};
  args_.tensors = at<TensorRow>(layout_.rows);
  means_ = MeansArgs{};
  means_.tensors = args_.tensors;
  means_.tensor_count = uint32_t(rows_.size());
  means_.first_row = at<uint32_t>(layout_.first_rows);
  means_.rows = first_rows_.back();
  if (facts_.device_counts) {
    args_.slots = means_.slots = at<Slot>(layout_.slots);
    args_.control = at<Control>(layout_.control);
    args_.clocks = at<Clock>(layout_.clocks);
    args_.clock_count = uint32_t(clocks_.size());
  }
  if (facts_.measures) {
    args_.grad_partials = at<float>(layout_.grad_partials);
    if (doubles_) args_.grad_partials64 = at<double>(layout_.grad_partials64);
    args_.grad_chunks = at<Chunk>(layout_.chunks);
    args_.bad_chunks = at<uint32_t>(layout_.bad_chunks);
    args_.run = run_of(chunks_.size());
    args_.grad_count = runs_of(chunks_.size(), args_.run);
    args_.outcomes = outcomes_.ring();
  }
}

void CudaStepper::reserve_muon(const StepSettings& settings) {
  if (muon_tasks_.empty()) return;
  for (MuonTask& task : muon_tasks_) {
    const Group& group = group_of(tensors_.all()[size_t(tensor_of_row_[task.tensor])]);
    task.how = group.rule->orthogonalization(group.hyper);
  }
  MuonOptions options;
  options.diagnostics = settings.diagnostics;
  if (muon_.reserve(muon_tasks_, options, stream_->handle)) drop_graph();
}

void CudaStepper::run_passes(const StepSettings& settings) {
  args_.max_norm = float(settings.max_grad_norm);
  args_.max_norm64 = settings.max_grad_norm;
  args_.policy = uint32_t(settings.non_finite);
  args_.clip = clip_known(settings);
  args_.serial = serial_;
  args_.last = 0;
  args_.observed = nullptr;
  args_.partials = nullptr;
  const double* const shapes = at<double>(layout_.shapes);
  if (facts_.device_counts && !facts_.measures) {
    const AdvanceArgs advance{
        args_.control, args_.clocks, args_.clock_count, at<double>(layout_.hypers), at<Slot>(layout_.slots),
        shapes,        nullptr};
    launch(advance_kernel(), 1, &advance);
  }
  if (facts_.measures) {
    PassArgs squares = squares_of(args_, args_.run, at<char>(layout_.grad_partials),
                                  doubles_ ? at<char>(layout_.grad_partials64) : nullptr);
    if (facts_.device_counts) {
      squares.rows = at<double>(layout_.hypers);
      squares.shapes = shapes;
    }
    launch_squares(squares);
  }
  if (means_.rows > 0) {
    std::copy(args_.inline_slots, args_.inline_slots + kInlineSlots, means_.inline_slots);
    launch(means_kernel(doubles_), means_.rows, &means_);
  }
  const auto over = [&](const Class& c) {
    args_.chunks = at<Chunk>(layout_.class_chunks) + c.first_chunk;
    args_.chunk_count = c.chunks;
    args_.partials = c.norm ? at<char>(c.partials) : nullptr;
  };
  for (const Class& c : classes_) {
    if (!c.norm) continue;
    over(c);
    launch(measure_kernel(c.rule, c.mode, c.flavor), c.chunks, &args_);
  }
  if (!muon_tasks_.empty()) muon_.run(args_, muon_reports(), stream_->handle);
  const bool must_end = facts_.measures || facts_.device_counts;
  for (size_t i = 0; i < classes_.size(); ++i) {
    const Class& c = classes_[i];
    over(c);
    args_.last = must_end && i + 1 == classes_.size();
    if (c.chunks == 0 && !args_.last) continue;
    const bool observe = facts_.diagnostics || (c.syncs && may_sync(c, settings));
    args_.observed = facts_.diagnostics ? at<char>(c.observed) : nullptr;
    const Kernel* const kernel =
        observe ? observe_kernel(c.rule, c.mode, c.flavor) : update_kernel(c.rule, c.mode, c.flavor);
    // Blocks that come and go share memory more evenly than those that stay; but the more of them begin with
    // sums, the larger they have to be.
    args_.halvings = observe || c.norm || facts_.measures ? 0 : c.halvings;
    if (observe || c.norm) {
      launch(kernel, c.chunks, &args_);
    } else {
      launch_blocks(kernel, c.chunks << args_.halvings, &args_);
    }
  }
  if (must_end && classes_.empty()) {
    // Any kernel over no chunks ends a step.
    static const int kAny = find_rule("sgd")->index;
    args_.chunk_count = 0;
    args_.last = 1;
    launch(update_kernel(kAny, 0, Flavor::kPlain), 0, &args_);
  }
}

// Whether weights of a class may meet slow ones in this step: on the device's count nobody here can say.
bool CudaStepper::may_sync(const Class& c, const StepSettings& settings) const {
  if (facts_.device_counts || settings.lookahead == Lookahead::kSync) return true;
  return std::any_of(clocks_.begin(), clocks_.end(), [&](const HostClock& clock) {
    const Group& group = groups_[size_t(clock.group)];
    return group.rule->index == c.rule && args_.inline_slots[clock.first_slot].sync;
  });
}

}  // namespace fo::cuda
