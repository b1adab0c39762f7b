#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace fo::cuda::stand_in {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kPoison = 0xff;  // a NaN in every format, and the largest of all indices

#if defined(__SANITIZE_ADDRESS__)
// Blocks have their exact size, and AddressSanitizer watches their ends and what was freed.
constexpr size_t kGuard = 0, kKept = 0;
void hide(uintptr_t base, size_t bytes) { ASAN_POISON_MEMORY_REGION(reinterpret_cast<void*>(base), bytes); }
void show(uintptr_t base, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(base), bytes); }
#else
constexpr size_t kGuard = 64, kKept = size_t(32) << 20;
void hide(uintptr_t, size_t) {}
void show(uintptr_t, size_t) {}
#endif

bool all_poison(uintptr_t base, size_t bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(base);
  return bytes == 0 || (p[0] == kPoison && std::memcmp(p, p + 1, bytes - 1) == 0);
}

}  // namespace

void* Memory::allocate(PointerInfo::Kind kind, int device, size_t bytes) {
  const bool pinned = kind == PointerInfo::kHost;
  if (!pinned && bytes > limits_[device] - std::min(limits_[device], used_[device])) return nullptr;
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, (bytes ? bytes : 1) + kGuard) != 0) return nullptr;
  std::memset(memory, kPoison, bytes + kGuard);
  const auto base = reinterpret_cast<uintptr_t>(memory);
  blocks_[base] = {kind, device, bytes};
  (pinned ? pinned_ : used_[device]) += bytes;
  if (kind == PointerInfo::kDevice && !exposed_) hide(base, bytes);
  return memory;
}

void Memory::release(const char* call, PointerInfo::Kind kind, void* memory) {
  if (!memory) return;
  const auto base = reinterpret_cast<uintptr_t>(memory);
  const auto found = blocks_.find(base);
  const bool pinned = kind == PointerInfo::kHost;
  if (found == blocks_.end() || (found->second.kind == PointerInfo::kHost) != pinned)
    return complain(std::string(call) + " was given memory that it never gave out or that is freed already.");
  const Block block = found->second;
  blocks_.erase(found);
  (pinned ? pinned_ : used_[block.device]) -= block.bytes;
  show(base, block.bytes);
  if (!all_poison(base + block.bytes, kGuard))
    complain(std::string(call) + ": something wrote past the end of its " + std::to_string(block.bytes) +
             " bytes.");
  std::memset(memory, kPoison, block.bytes);
  freed_.push_back({base, block.bytes});
  freed_bytes_ += block.bytes;
  while (!freed_.empty() && freed_bytes_ > kKept) drop_oldest();
  if (kKept == 0)
    while (!freed_.empty()) drop_oldest();
}

void Memory::drop_oldest() {
  const Freed block = freed_.front();
  freed_.pop_front();
  freed_bytes_ -= block.bytes;
  if (!all_poison(block.base, block.bytes))
    complain("Something wrote to " + std::to_string(block.bytes) + " bytes that were freed before.");
  std::free(reinterpret_cast<void*>(block.base));
}

void Memory::check_freed() {
  while (!freed_.empty()) drop_oldest();
}

PointerInfo Memory::find(const void* pointer) const {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return {PointerInfo::kUnknown, -1, 0, 0};
  const auto& [base, block] = *--after;
  // The one byte of an empty block is its own.
  if (address - base >= (block.bytes ? block.bytes : 1)) return {PointerInfo::kUnknown, -1, 0, 0};
  return {block.kind, block.device, base, block.bytes};
}

void Memory::expose(bool on) {
  if (exposed_ == on) return;
  exposed_ = on;
#if defined(__SANITIZE_ADDRESS__)
  for (const auto& [base, block] : blocks_)
    if (block.kind == PointerInfo::kDevice) (on ? show : hide)(base, block.bytes);
#endif
}

}  // namespace fo::cuda::stand_in
