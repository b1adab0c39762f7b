#pragma once
// Muon's step on a GPU: directions packed into batches of equal shapes, Newton-Schulz iteration by cuBLAS
// (muon_plan.h says by which products), and the weights. See docs/muon-cuda.md for the modes.
//
// Launches for a batch: pack, normalize, per step two products, a combination and a third product, apply.
// None of them ends a step: a step whose tensors are all Muon's needs a last launch of another kernel, of no
// chunks, to write the outcome and move the clocks on.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../core/formats.h"
#include "../core/tensor_list.h"
#include "../rules/rule.h"
#include "device.h"
#include "kernels.h"

namespace fo::cuda {

// A tensor whose direction is to be orthogonalized.
struct MuonTask {
  uint32_t tensor;  // its row in the table of tensors, PassArgs::tensors
  Format format;
  Shape shape;
  Orthogonalization how;  // of its group; its coefficients are copied
};

struct MuonOptions {
  // Of all batches that are computed at a time. Exceeded only by a matrix that needs more alone. A task whose
  // group asks for less (Orthogonalization::workspace_bytes) lowers it.
  size_t workspace_bytes = size_t(512) << 20;
  int streams = 4;            // batches of different shapes run beside each other
  bool diagnostics = false;   // makes room for run()'s reports
  int64_t least_blocked = 0;  // rows of symmetric products that are computed by halves; 0: as is best
};

// What diagnostics tell of a tensor: sums of squares, and the worst |X X^T - I|_F / sqrt(r) of its matrices.
struct MuonReport {
  float grad_squares, update_squares, param_squares, error;
};

class MuonStep {
 public:
  explicit MuonStep(Device* device);
  ~MuonStep();  // waits for nothing: the caller knows that no work of it is left
  MuonStep(const MuonStep&) = delete;
  MuonStep& operator=(const MuonStep&) = delete;

  // Plans these tensors' batches and makes room for them, before anything is launched. Does nothing when
  // tasks and options are those of the last call; else it waits for `stream`, on which all work of the last
  // plan must have been queued. Throws Fault when memory is short, with the bytes that were asked for, or
  // when there is no cuBLAS, with what was tried; the last plan still holds then. Returns whether anything
  // has changed: graphs that were captured with run() before hold memory that is gone.
  bool reserve(const std::vector<MuonTask>& tasks, const MuonOptions& options, StreamHandle stream);

  // The whole step of all tasks, queued on `stream` and on streams of its own that fork from it and join it
  // again. Nothing is allocated and nothing waited for, so it can be captured. Of `step` it reads the tables,
  // slots, what clipping needs, and what says that a step is skipped; chunks and all that concerns the end of
  // a step it does not. `reports`: null, or one for each task, in memory of the device or pinned.
  void run(const PassArgs& step, MuonReport* reports, StreamHandle stream);

  size_t workspace_bytes() const;
  size_t batches() const;
  size_t streams() const;

 private:
  struct Plan;
  Device* device_;
  std::unique_ptr<Plan> plan_;
};

// Muon's kernels, for all_kernels().
std::vector<const Kernel*> muon_kernels();

}  // namespace fo::cuda
