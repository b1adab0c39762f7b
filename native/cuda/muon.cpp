#include "muon.h"

#include <algorithm>
#include <utility>

#include "muon_groups.h"

namespace fo::cuda {
namespace {

// What this file owns of the device, given back when it goes.
class Memory {
 public:
  Memory(Device* device, size_t bytes) : device_(device), bytes_(bytes), data_(device->allocate(bytes)) {}
  ~Memory() { device_->free(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  char* data() const { return static_cast<char*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  Device* device_;
  size_t bytes_;
  void* data_;
};

class Event {
 public:
  explicit Event(Device* device) : device_(device), event_(device->create_event(false)) {}
  ~Event() { device_->destroy_event(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  EventHandle get() const { return event_; }

 private:
  Device* device_;
  EventHandle event_;
};

// A stream beside the caller's, and the event that joins it.
struct Branch {
  explicit Branch(Device* device) : device(device), joined(device), stream(device->create_stream()) {}
  ~Branch() { device->destroy_stream(stream); }
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;
  Device* device;
  Event joined;
  StreamHandle stream;
};

constexpr size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

struct MuonStep::Plan {
  // All that is allocated for a step; when it throws, nothing is left of it.
  Plan(Device* device, const std::vector<MuonTask>& tasks, const MuonOptions& options, const Plan* before,
       StreamHandle stream)
      : device(device), groups(tasks, options) {
    const size_t at_reported = aligned(groups.matrices * sizeof(MuonMatrix));
    const size_t at_observed = at_reported + aligned(tasks.size() * sizeof(MuonReported));
    const size_t at_errors = at_observed + aligned(groups.pieces * kObservedSums * sizeof(float));
    const size_t end = at_errors + aligned(groups.square_pieces * sizeof(float));
    tables = std::make_unique<Memory>(device, options.diagnostics ? end : at_observed);
    const bool room = before && before->workspace->bytes() >= groups.workspace_bytes;
    workspace = room ? before->workspace : std::make_shared<Memory>(device, groups.workspace_bytes);
    for (size_t i = 1; i < groups.lanes.size(); ++i) branches.push_back(std::make_unique<Branch>(device));
    if (!branches.empty()) forked = std::make_unique<Event>(device);

    matrices = reinterpret_cast<MuonMatrix*>(tables->data());
    reported = reinterpret_cast<MuonReported*>(tables->data() + at_reported);
    observed = reinterpret_cast<float*>(tables->data() + at_observed);
    errors = reinterpret_cast<float*>(tables->data() + at_errors);
    const auto put = [&](void* to, const auto& rows) {
      if (!rows.empty()) device->copy(to, rows.data(), rows.size() * sizeof(rows[0]), stream);
    };
    put(matrices, groups.all_matrices());
    put(reported, groups.reported());
    // What pads rows is moved about, but no result has a part of it.
    if (!room && workspace->bytes()) device->fill(workspace->data(), 0, workspace->bytes(), stream);
    device->synchronize(stream);
    warm_up(stream);
    for (const auto& branch : branches) warm_up(branch->stream);
  }

  // What cuBLAS allocates for a stream, at its first product, it shall not have to at the first step.
  void warm_up(StreamHandle stream) {
    if (groups.lanes.empty()) return;
    constexpr int kSide = 4;  // twice as much is less than any matrix's share of the workspace
    Gemm gemm = {};
    gemm.type = GemmType::kF32;
    gemm.m = gemm.n = gemm.k = kSide;
    gemm.lda = gemm.ldb = gemm.ldc = kSide;
    gemm.a = gemm.b = workspace->data();
    gemm.c = workspace->data() + kSide * kSide * sizeof(float);
    gemm.batch = 1;
    device->gemm(gemm, stream);
    device->synchronize(stream);
  }

  Device* device;
  MuonGroups groups;
  std::unique_ptr<Memory> tables;
  std::shared_ptr<Memory> workspace;
  std::unique_ptr<Event> forked;
  std::vector<std::unique_ptr<Branch>> branches;  // of all lanes but the first
  MuonMatrix* matrices;                           // tables on the device
  MuonReported* reported;
  float *observed, *errors;
};

namespace {

// One batch on its way through a stream.
class BatchRun {
 public:
  BatchRun(Device* device, const MuonGroup& group, const MuonBatch& batch, char* memory, StreamHandle stream)
      : device_(*device),
        group_(group),
        batch_(batch),
        memory_(memory),
        x_(memory),
        other_(memory + batch.count * group.layout.x_bytes),
        stream_(stream) {}

  void pack(const PassArgs& step, const MuonMatrix* matrices, float* observed) {
    const MuonProgram& program = group_.program;
    const bool half = program.type == GemmType::kF16;
    const MuonPacked from = packed(half ? other_ : x_, half ? GemmType::kF32 : program.type);
    launch(muon_pack_kernel(group_.flavor), pass_args(step, matrices, from, observed, 1), pieces());
    const MuonNormalizeArgs args = {from, packed(x_, program.type), sums(), float(group_.how.eps),
                                    program.x_scale};
    launch(muon_normalize_kernel(), args, pieces());
  }

  void iterate() {
    const std::vector<MuonOp>& ops = group_.program.ops;
    for (size_t i = 0; i < ops.size(); ++i) {
      const MuonOp& op = ops[i];
      if (op.kind == MuonOp::kCombine) {
        combine(op);
      } else {
        multiply(op);
      }
      // A combination needs no more of its second square than one half.
      const bool half_will_do =
          i + 1 < ops.size() && ops[i + 1].kind == MuonOp::kCombine && ops[i + 1].right == op.to;
      if (op.kind == MuonOp::kApply) {
        std::swap(x_, other_);
      } else if (!half_will_do) {
        mirror(op.to);
      }
    }
  }

  void apply(const PassArgs& step, const MuonMatrix* matrices, float* observed) {
    const float factor = 1 / group_.program.x_scale;
    launch(muon_apply_kernel(group_.flavor),
           pass_args(step, matrices, packed(x_, group_.program.type), observed, factor), pieces());
  }

  // Sums of (X X^T - I)^2.
  void errors(float* sums) {
    const MuonProgram& program = group_.program;
    MuonOp op = {};
    op.kind = MuonOp::kGram;
    op.alpha = program.square_scale / program.x_scale / program.x_scale;
    multiply(op);
    mirror(op.to);
    MuonSquareArgs args = square_args(op.to);
    args.c = 1 / program.square_scale;
    args.sums = sums;
    launch(muon_error_kernel(), args, batch_.count * group_.layout.square_pieces);
  }

 private:
  size_t pieces() const { return batch_.count * group_.layout.pieces; }
  char* square(int which) const {
    const MuonLayout& l = group_.layout;
    return memory_ + batch_.count * (l.x_bytes + l.other_bytes + size_t(which) * l.square_bytes);
  }
  float* sums() const { return reinterpret_cast<float*>(square(group_.layout.squares)); }

  MuonPacked packed(void* data, GemmType type) const {
    const MuonLayout& l = group_.layout;
    return {data,
            uint64_t(l.x_stride),
            uint32_t(l.rows),
            uint32_t(l.cols),
            uint32_t(l.ld),
            l.pieces,
            uint32_t(batch_.count),
            type};
  }
  MuonPassArgs pass_args(const PassArgs& step, const MuonMatrix* matrices, const MuonPacked& packed,
                         float* observed, float factor) const {
    return {matrices, packed, sums(), observed, factor, step};
  }
  MuonSquareArgs square_args(int to) const {
    const MuonLayout& l = group_.layout;
    MuonSquareArgs args = {};
    args.to = square(to);
    args.stride = uint64_t(l.square_stride);
    args.r = uint32_t(l.r);
    args.ld = uint32_t(l.square_ld);
    args.pieces = l.square_pieces;
    args.count = uint32_t(batch_.count);
    args.panel = uint32_t(group_.panels[1]);
    args.panels = uint32_t(group_.panels.size() - 1);
    args.type = group_.program.type;
    return args;
  }

  void combine(const MuonOp& op) {
    MuonSquareArgs args = square_args(op.to);
    args.left = square(op.left);
    args.a = op.a;
    args.b = op.b;
    args.c = op.c;
    launch(muon_combine_kernel(), args, batch_.count * group_.layout.square_pieces);
  }
  void mirror(int which) {
    if (group_.panels.size() == 2) return;
    launch(muon_mirror_kernel(), square_args(which), batch_.count * group_.layout.square_pieces);
  }
  void multiply(const MuonOp& op) {
    const MuonBuffers buffers = {x_, other_, square(op.left), square(op.right), square(op.to)};
    Gemm gemm;
    for (size_t i = 0;
         muon_gemm(op, group_.program, group_.layout, group_.panels, buffers, int(batch_.count), i, &gemm);
         ++i)
      device_.gemm(gemm, stream_);
  }

  // As many blocks as the device holds at a time, or as there are pieces.
  template <class Args>
  void launch(const Kernel* kernel, const Args& args, size_t pieces) {
    const size_t resident =
        size_t(device_.properties().multiprocessors) * size_t(kernel->blocks_per_multiprocessor);
    device_.launch(*kernel, int(std::max<size_t>(1, std::min(pieces, resident))), &args, stream_);
  }

  Device& device_;
  const MuonGroup& group_;
  const MuonBatch& batch_;
  char* const memory_;
  char *x_, *other_;
  StreamHandle stream_;
};

}  // namespace

MuonStep::MuonStep(Device* device) : device_(device) {}
MuonStep::~MuonStep() = default;

bool MuonStep::reserve(const std::vector<MuonTask>& tasks, const MuonOptions& options, StreamHandle stream) {
  if (plan_ ? plan_->groups.are_for(tasks, options) : tasks.empty()) return false;
  const CublasPresence& cublas = cublas_presence();
  if (!tasks.empty() && !cublas.available)
    throw Fault("cublasCreate", 1, "CUBLAS_STATUS_NOT_INITIALIZED", cublas.reason);
  auto plan = std::make_unique<Plan>(device_, tasks, options, plan_.get(), stream);
  plan_ = std::move(plan);
  return true;
}

void MuonStep::run(const PassArgs& step, MuonReport* reports, StreamHandle stream) {
  if (!plan_ || plan_->groups.lanes.empty()) return;
  Plan& plan = *plan_;
  const bool observes = reports && plan.groups.options.diagnostics;
  const auto run_lane = [&](size_t index, char* memory, StreamHandle on) {
    for (const MuonBatch& batch : plan.groups.lanes[index].batches) {
      const MuonGroup& group = plan.groups.groups[batch.group];
      const MuonMatrix* const matrices = plan.matrices + group.first_matrix + batch.first;
      const uint64_t piece = group.first_piece + batch.first * group.layout.pieces;
      const uint64_t square = group.first_square + batch.first * group.layout.square_pieces;
      float* const observed = observes ? plan.observed + piece * kObservedSums : nullptr;
      BatchRun run(device_, group, batch, memory, on);
      run.pack(step, matrices, observed);
      run.iterate();
      run.apply(step, matrices, observed);
      if (observes) run.errors(plan.errors + square);
    }
  };

  const auto join = [&] {
    for (const auto& branch : plan.branches) {
      device_->record(branch->joined.get(), branch->stream);
      device_->wait(stream, branch->joined.get());
    }
  };
  if (plan.forked) device_->record(plan.forked->get(), stream);
  for (const auto& branch : plan.branches) device_->wait(branch->stream, plan.forked->get());
  try {
    char* memory = plan.workspace->data();
    for (size_t i = 0; i < plan.groups.lanes.size(); ++i) {
      run_lane(i, memory, i > 0 ? plan.branches[i - 1]->stream : stream);
      memory += plan.groups.lanes[i].bytes;
    }
  } catch (const Fault&) {
    // What has been queued is still part of what comes before later work on the caller's stream.
    try {
      join();
    } catch (const Fault&) {
    }
    throw;
  }
  join();
  if (!observes) return;
  const Kernel* const kernel = muon_report_kernel();
  const uint32_t count = uint32_t(plan.groups.tasks.size());
  const MuonReportArgs args = {plan.reported, count, plan.observed, plan.errors, reports};
  device_->launch(*kernel, int(count), &args, stream);
}

size_t MuonStep::workspace_bytes() const { return plan_ ? plan_->workspace->bytes() : 0; }
size_t MuonStep::batches() const { return plan_ ? plan_->groups.batches() : 0; }
size_t MuonStep::streams() const { return plan_ ? plan_->groups.lanes.size() : 0; }

}  // namespace fo::cuda
