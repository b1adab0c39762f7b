#pragma once
// A GPU that is memory of this process, for tests: what they may set and ask besides cuda/device.h.
//
// It is there to find what a GPU would forgive until the day it does not. Work that was queued runs as late
// as it may, or at a random moment before, in a random order between streams and between the blocks of a
// kernel. Fresh and freed memory is full of NaN. Misuse that a GPU answers with silence ends the process.
//
// Environment, read once:
//   FUSED_OPTIM_STAND_IN_SEED      of all that is random (1)
//   FUSED_OPTIM_STAND_IN_FAIL      as fail() takes it
//   FUSED_OPTIM_STAND_IN_MEMORY    bytes each device has (1 GiB)
//   FUSED_OPTIM_STAND_IN_DEVICES   how many of its two devices there are; 0: no driver
//   FUSED_OPTIM_STAND_IN_CUBLAS    "off": as if there were none
//   FUSED_OPTIM_STAND_IN_NCCL      likewise
//   FUSED_OPTIM_STAND_IN_PTX       files with colons between: kernels run as compiled, see ptx/compiled.h
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fo::cuda::stand_in {

constexpr int kDevices = 2;

// What was asked for since the start or reset_counters().
struct Counters {
  uint64_t allocations = 0, frees = 0;  // of device memory
  uint64_t pinned_allocations = 0, pinned_frees = 0;
  uint64_t copies = 0, copied_bytes = 0, fills = 0;
  uint64_t synchronizations = 0;  // a copy that waits for its stream is one too
  uint64_t gemms = 0, captures = 0, graph_launches = 0;
  std::map<std::string, uint64_t> launches;  // asked for, by kernel; what a capture records is not launched
  std::map<std::string, uint64_t> runs;      // executed by now, graphs included
  std::map<std::string, uint64_t> nccl;      // operations asked for, by function

  // These are facts of the moment.
  size_t bytes_in_use = 0, pinned_bytes_in_use = 0, streams = 0, events = 0, graphs = 0, communicators = 0;
};
Counters counters();
void reset_counters();

// Failures to come, instead of any planned before: "cudaMalloc:3" is the third such call from now; a "+"
// after the number means all later ones too. Several are separated by commas. Besides calls there are
// "sticky:N": the N-th kernel that runs faults, and the device with it;
// "ncclCommGetAsyncError:N": the answer is that another rank has gone;
// "notready:N": the next N questions whether an event is done are answered with no.
// Throws std::invalid_argument for anything else.
void fail(const std::string& plan);

void seed(uint64_t seed);
// While it holds, queued work runs only when somebody waits for it.
void hold(bool on);
void set_memory(int device, size_t bytes);
// Memory that both sides may touch, as cudaMallocManaged gives; freed as device memory is.
void* allocate_managed(int device, size_t bytes);
// Takes back a sticky fault, as a new process would. Nothing that was queued runs.
void revive();

// Misuse ends the process, or is kept in a list while `on`.
void keep_complaints(bool on);
std::vector<std::string> take_complaints();

}  // namespace fo::cuda::stand_in
