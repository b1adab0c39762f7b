// Slabs: aligned, zeroed, and a null pointer where there is no memory.
#include "../../native/core/state_store.h"

#include <cstdint>
#include <cstring>

#include "check.h"

namespace fo_test {
namespace {

constexpr size_t kHuge = size_t(2) << 20;

bool zeroed(const fo::Slab& slab) {
  for (size_t i = 0; i < slab.bytes(); ++i)
    if (slab.data()[i]) return false;
  return true;
}

}  // namespace

void test_state_store() {
  test("state store: aligned and zeroed, also where memory was used before", [] {
    for (size_t bytes : {size_t(0), size_t(1), size_t(63), size_t(64), size_t(65), size_t(4096), kHuge - 1,
                         kHuge, kHuge + 1, 3 * kHuge + 17}) {
      for (int round = 0; round < 3; ++round) {
        const auto slab = fo::Slab::allocate(bytes);
        EXPECT(slab, "no slab of %zu bytes", bytes);
        if (!slab) continue;
        EXPECT(slab->bytes() == bytes, "%zu bytes, not %zu", slab->bytes(), bytes);
        EXPECT(reinterpret_cast<uintptr_t>(slab->data()) % fo::kStateAlign == 0, "%p is not aligned",
               slab->data());
        EXPECT(zeroed(*slab), "a slab of %zu bytes is not zero in round %d", bytes, round);
        if (bytes) std::memset(slab->data(), 0xff, bytes);
      }
    }
  });
  test("state store: slabs do not overlap", [] {
    std::shared_ptr<fo::Slab> slabs[40];
    for (size_t i = 0; i < 40; ++i) {
      slabs[i] = fo::Slab::allocate(i % 8 ? 1000 * i : kHuge + i);
      std::memset(slabs[i]->data(), int(i + 1), slabs[i]->bytes());
    }
    for (size_t i = 0; i < 40; ++i)
      for (size_t k = 0; k < slabs[i]->bytes(); ++k)
        EXPECT(slabs[i]->data()[k] == char(i + 1), "byte %zu of slab %zu was written through another", k, i);
  });
  test("state store: too much is a null pointer", [] {
    for (size_t bytes :
         {size_t(1) << 50, size_t(1) << 62, SIZE_MAX / 2, SIZE_MAX - kHuge, SIZE_MAX - 1, SIZE_MAX})
      EXPECT(!fo::Slab::allocate(bytes), "a slab of %zu bytes", bytes);
  });
  test("state store: padding", [] {
    const size_t cases[][2] = {{0, 0}, {1, 64}, {63, 64}, {64, 64}, {65, 128}, {4096, 4096}};
    for (const auto& [bytes, wanted] : cases)
      EXPECT(fo::padded(bytes) == wanted, "padded(%zu) is %zu, not %zu", bytes, fo::padded(bytes), wanted);
  });
}

}  // namespace fo_test
