// Faults, memory, and what every call begins with.
#include "device.h"

#include <algorithm>

namespace fo::cuda::stand_in {

StandIn::StandIn(int index) {
  properties_.index = index;
  properties_.name = "Stand-in " + std::to_string(index);
  properties_.major = index == 0 ? 9 : 12;
  properties_.minor = 0;
  properties_.multiprocessors = index == 0 ? 3 : 5;
  properties_.memory = world().memory.limit(index);
  properties_.l2_bytes = size_t(1) << 20;
  properties_.fast_float64 = index == 0;
}

void StandIn::check_fault(const char* call) const {
  const std::string& kernel = world().faulted[index()];
  if (kernel.empty()) return;
  Fault fault(call, 700, "cudaErrorIllegalAddress",
              "kernel " + kernel + " was running on GPU " + std::to_string(index()) + ".");
  fault.sticky = true;
  fault.kernel = kernel;
  throw fault;
}

void StandIn::check_plan(const char* name, size_t bytes) const {
  if (!world().failures.strikes(name)) return;
  const auto [code, error] = planned_error(name);
  if (code == 2) throw out_of_memory(name, bytes);
  throw Fault(name, code, error, "a test has planned it.");
}

Fault StandIn::out_of_memory(const char* call, size_t bytes) const {
  const World& w = world();
  const size_t limit = w.memory.limit(index());
  Fault fault(call, 2, "cudaErrorMemoryAllocation",
              std::to_string(bytes) + " bytes were asked for, and " +
                  std::to_string(limit - std::min(limit, w.memory.in_use(index()))) + " of the " +
                  std::to_string(limit) + " bytes of GPU " + std::to_string(index()) + " are free.");
  fault.out_of_memory = true;
  fault.bytes = bytes;
  return fault;
}

StandIn::Call::Call(StandIn& device, const char* name, size_t bytes) : lock(world().mutex) {
  device.check_fault(name);
  device.check_plan(name, bytes);
}

void* StandIn::allocate(const char* name, PointerInfo::Kind kind, size_t bytes) {
  const Call call(*this, name, bytes);
  for (const auto& capture : world().captures)
    if (capture->thread == std::this_thread::get_id())
      throw broken(name, "memory cannot be allocated while work is captured into a graph.");
  void* memory = world().memory.allocate(kind, index(), bytes);
  if (!memory) throw out_of_memory(name, bytes);
  ++(kind == PointerInfo::kHost ? world().counters.pinned_allocations : world().counters.allocations);
  return memory;
}

void* StandIn::allocate(size_t bytes) { return allocate("cudaMalloc", PointerInfo::kDevice, bytes); }

void StandIn::free(void* memory) noexcept {
  const std::lock_guard lock(world().mutex);
  if (memory) ++world().counters.frees;
  world().memory.release("cudaFree", PointerInfo::kDevice, memory);
}

void* StandIn::allocate_pinned(size_t bytes) { return allocate("cudaHostAlloc", PointerInfo::kHost, bytes); }

void StandIn::free_pinned(void* memory) noexcept {
  const std::lock_guard lock(world().mutex);
  if (memory) ++world().counters.pinned_frees;
  world().memory.release("cudaFreeHost", PointerInfo::kHost, memory);
}

PointerInfo StandIn::pointer_info(const void* pointer) {
  const Call call(*this, "cudaPointerGetAttributes");
  return world().memory.find(pointer);
}

void StandIn::check() {
  const std::lock_guard lock(world().mutex);
  check_fault("cudaGetLastError");
}

std::string hex(const void* pointer) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%jx", uintmax_t(reinterpret_cast<uintptr_t>(pointer)));
  return text;
}

}  // namespace fo::cuda::stand_in
