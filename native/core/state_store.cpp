#include "state_store.h"

#include <cstdint>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fo {

namespace {
constexpr size_t kHugePage = size_t(2) << 20;
}

std::shared_ptr<Slab> Slab::allocate(size_t bytes) {
  void* base = nullptr;
  size_t mapped = 0;
  char* data = nullptr;
#if defined(__linux__)
  if (bytes >= kHugePage) {
    // Fresh pages are zero already; on huge pages the states cost fewer TLB misses.
    mapped = bytes + kHugePage;
    if (mapped < bytes) return nullptr;
    base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    const uintptr_t start = (reinterpret_cast<uintptr_t>(base) + kHugePage - 1) / kHugePage * kHugePage;
    data = reinterpret_cast<char*>(start);
    madvise(data, bytes, MADV_HUGEPAGE);  // advice only: a refusal costs speed, not correctness
  }
#endif
  if (!data) {
    base = ::operator new(bytes ? bytes : 1, std::align_val_t(kStateAlign), std::nothrow);
    if (!base) return nullptr;
    data = static_cast<char*>(base);
    std::memset(data, 0, bytes);
  }
  const auto release = [base, mapped] {
#if defined(__linux__)
    if (mapped) {
      munmap(base, mapped);
      return;
    }
#endif
    ::operator delete(base, std::align_val_t(kStateAlign));
  };
  try {
    return std::make_shared<Slab>(data, bytes, release);
  } catch (const std::bad_alloc&) {
    release();
    return nullptr;
  }
}

}  // namespace fo
