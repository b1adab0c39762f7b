#pragma once
// The backend's kernels: what they are given, and where to find them. Every launch takes one of these structs
// by value.
#include <cstddef>
#include <cstdint>

#include "device.h"
#include "tables.h"

namespace fo::cuda {

// What a class of tensors is stored as; each has kernels of its own.
enum class Flavor : uint8_t {
  kPlain,    // everything float32
  kMixed,    // any of the 16-bit formats
  kWide,     // of these: float32 weights and states. Passes but the update are those of kMixed
  kBf16,     // and everything bfloat16, likewise
  kDouble,   // everything float64
  kBlocks8,  // 8-bit states
};
constexpr int kFlavors = 6;

Flavor flavor_of(Format format);

// Slots that fit into the arguments of a launch. More lie in device memory.
constexpr int kInlineSlots = 16;

// The step counts of the tensors that share a group and a history, on the device. `advance` computes what the
// next step needs from it; the step's last launch makes it true, unless the step is skipped.
struct Clock {
  double t, next_t;
  double scalars[kMaxScalars], next_scalars[kMaxScalars];
  uint32_t rule;               // of the registry
  uint32_t hyper;              // first of its group's numbers in a row
  uint32_t first_slot, slots;  // more than one: Muon, by shape
  uint32_t is_double;          // coefficients in float64
};

// What a whole optimizer has on the device besides.
struct Control {
  uint64_t applied;           // steps so far: the schedules' clock
  uint64_t first_row;         // the step that row 0 belongs to; rows that are past the end repeat the last
  uint32_t rows, hypers;      // doubles in a row
  float unscale;              // 1 / gradScale; the caller's own in `scale` wins
  float alpha;                // of a Lookahead around the optimizer
  double unscale64, alpha64;  // the same for float64
  uint32_t lookahead_k;       // 0: none
  uint32_t lookahead_now;     // steps it has counted
  uint64_t serial;            // of the last step that was begun: says which outcome is its own
};

// Outcomes lie in a ring: a step's is at its serial modulo this.
constexpr uint32_t kOutcomes = 64;

struct AdvanceArgs {
  Control* control;
  Clock* clocks;
  uint32_t clock_count;
  const double* rows;
  Slot* slots;
  const double* shapes;  // what fit() takes, out and in, of each slot; null: no Muon
  const float* scale;    // the caller's loss scale on the device; null: control->unscale
};

// One pass over the chunks of one class: tensors of one rule, mode and flavor. Blocks take contiguous ranges.
struct PassArgs {
  const TensorRow* tensors;
  const Chunk* chunks;
  uint32_t chunk_count;
  uint32_t halvings;  // of chunks, to the pieces that blocks of an update take; 0 where sums are taken
  uint32_t last;      // this launch ends the step: writes the outcome and moves the clocks on
  const Slot* slots;  // null: inline_slots

  // Sums of a class's first pass, kMaxSums for each of its chunks; an observing update writes its own.
  // Floats; doubles of kDouble. The squares' launch writes one float a run of chunks and, where asked for,
  // one double to `observed`.
  void* partials;
  void* observed;  // null: none asked for

  // Squares of all gradients of the step, a float a run of 2^run chunks, in the order of tensors; null: not
  // measured.
  const float* grad_partials;
  const double* grad_partials64;  // the same; null where no tensor is float64
  const Chunk* grad_chunks;
  uint32_t* bad_chunks;  // the first of each run that has what is not finite; null: runs are chunks
  uint32_t run;
  uint32_t grad_count;  // runs
  float max_norm;       // 0: none
  double max_norm64;
  float clip = 1;          // where gradients were measured elsewhere
  uint32_t policy;         // of NonFinite; what is not kPropagate leaves everything as it is
  const float* found_inf;  // the caller's own flag on the device; null: none

  Outcome* outcomes;  // the ring; null: nobody asks
  uint64_t serial;    // the host's, where there is no control
  Control* control;   // null: the host keeps count
  Clock* clocks;
  uint32_t clock_count;

  // Given to the squares' launch, whose first block then does the work of `advance` (the unscaling
  // of squares is that of `control` or `scale`, not the slots'). Null rows: it is done already, or the host
  // has done it.
  const double* rows;
  const double* shapes;
  const float* scale;

  Slot inline_slots[kInlineSlots];
};
static_assert(sizeof(PassArgs) <= 4096, "arguments of a launch");

// Every block of an update adds up all sums of squares by itself, so of a large model they are fewer than
// chunks.
constexpr uint32_t kMostSquares = 4096;
constexpr uint32_t runs_of(uint64_t chunks, uint32_t run) {
  return uint32_t((chunks + (uint64_t(1) << run) - 1) >> run);
}
constexpr uint32_t run_of(uint64_t chunks) {
  uint32_t run = 0;
  while (runs_of(chunks, run) > kMostSquares) ++run;
  return run;
}
// The means of gradient rows, unscaled but not clipped, which go to TensorRow::means.
struct MeansArgs {
  const TensorRow* tensors;
  uint32_t tensor_count;
  const uint32_t* first_row;  // of each tensor's rows in the list of all; one more at the end
  uint32_t rows;
  const Slot* slots;
  Slot inline_slots[kInlineSlots];
};

// Kernels of a rule in a mode; null where there is no such kernel.
const Kernel* update_kernel(int rule, int mode, Flavor flavor);   // PassArgs
const Kernel* observe_kernel(int rule, int mode, Flavor flavor);  // PassArgs: the same, and sums of squares
const Kernel* measure_kernel(int rule, int mode, Flavor flavor);  // PassArgs: a norm rule's first pass
// PassArgs of all tensors. `doubles`: one that can read float64 as well.
const Kernel* squares_kernel(bool doubles = false);
const Kernel* means_kernel(bool doubles = false);  // MeansArgs, likewise
const Kernel* advance_kernel();                    // AdvanceArgs, one block
std::vector<const Kernel*> all_kernels();          // for tests and reports

}  // namespace fo::cuda
