#include "world.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace fo::cuda::stand_in {
namespace {

uint64_t number(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

World::World() : queue([this](int device) { return !faulted[device].empty(); }) {
  queue.seed(number("FUSED_OPTIM_STAND_IN_SEED", 1));
  queue.around = [this](bool running) { memory.expose(running); };
  for (int device = 0; device < kDevices; ++device)
    memory.set_limit(device, number("FUSED_OPTIM_STAND_IN_MEMORY", uint64_t(1) << 30));
  if (const char* plan = std::getenv("FUSED_OPTIM_STAND_IN_FAIL")) failures.plan(plan);
}

World& world() {
  static World* the_world = new World;
  return *the_world;
}

void complain(const std::string& what) {
  World& w = world();
  if (w.keeps_complaints) return w.complaints.push_back(what);
  std::fprintf(stderr, "The stand-in for a GPU was misused: %s\n", what.c_str());
  std::fflush(stderr);
  std::abort();
}

Counters counters() {
  World& w = world();
  const std::lock_guard lock(w.mutex);
  Counters now = w.counters;
  for (int device = 0; device < kDevices; ++device) now.bytes_in_use += w.memory.in_use(device);
  now.pinned_bytes_in_use = w.memory.pinned();
  now.streams = w.streams.size();
  now.events = w.events.size();
  now.graphs = w.graphs.size();
  return now;
}

void reset_counters() {
  const std::lock_guard lock(world().mutex);
  world().counters = {};
}

void fail(const std::string& plan) {
  const std::lock_guard lock(world().mutex);
  world().failures.plan(plan);
}

void seed(uint64_t seed) {
  const std::lock_guard lock(world().mutex);
  world().queue.seed(seed);
}

void hold(bool on) {
  const std::lock_guard lock(world().mutex);
  world().queue.hold = on;
}

void set_memory(int device, size_t bytes) {
  const std::lock_guard lock(world().mutex);
  world().memory.set_limit(device, bytes);
}

void* allocate_managed(int device, size_t bytes) {
  const std::lock_guard lock(world().mutex);
  return world().memory.allocate(PointerInfo::kManaged, device, bytes);
}

void revive() {
  World& w = world();
  const std::lock_guard lock(w.mutex);
  w.queue.forget();
  for (std::string& kernel : w.faulted) kernel.clear();
}

void keep_complaints(bool on) {
  const std::lock_guard lock(world().mutex);
  world().keeps_complaints = on;
}

std::vector<std::string> take_complaints() {
  World& w = world();
  const std::lock_guard lock(w.mutex);
  w.memory.check_freed();
  return std::exchange(w.complaints, {});
}

}  // namespace fo::cuda::stand_in
