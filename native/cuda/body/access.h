#pragma once
// Reading and writing a few neighbouring elements at a time.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../block.h"
#include "../tables.h"

#if defined(__CUDACC__)
#define FO_UNROLL _Pragma("unroll")
#define FO_UNROLL_BY_8 _Pragma("unroll 8")
#define FO_NO_UNROLL _Pragma("unroll 1")
#define FO_CALLED static __device__ __noinline__
#else
#define FO_UNROLL
#define FO_UNROLL_BY_8
#define FO_NO_UNROLL
#define FO_CALLED static
#endif

namespace fo::cuda {

template <class T, int E>
struct alignas(sizeof(T) * E) Pack {
  T x[E];
};

// A pointer out of a table is to global memory, which the compiler could not know. Host code faults where a
// GPU would.
template <int kAlign, class T>
FO_DEVICE T* global(T* p) {
#if defined(__CUDACC__)
  __builtin_assume(__isGlobal(p));
#else
  if (reinterpret_cast<uintptr_t>(p) % kAlign != 0) std::abort();
#endif
  return p;
}

// Makes the compiler read shared memory again, instead of keeping what it holds in registers through a loop:
// with pointers and coefficients in them, too few are left.
FO_DEVICE void forget() {
#if defined(__CUDACC__)
  asm volatile("" ::: "memory");
#endif
}

// Elements of one thread. Kept as three short numbers, from which the others are computed where needed.
struct Place {
  uint32_t chunk, first, count;                                               // in its chunk
  FO_MEMBER uint64_t at() const { return uint64_t(chunk) * kChunk + first; }  // in its tensor
  FO_MEMBER bool has(int e) const { return first + uint32_t(e) < count; }     // element e is the tensor's
  FO_MEMBER bool whole(int elements) const { return count - first >= uint32_t(elements); }  // all are
};

// E elements, the ones that are not valid as 0.
template <bool kVector, class T, int E>
FO_DEVICE void read(Pack<T, E>& to, const T* from, const Place& place, bool vector) {
  const T* const p = from + place.at();
  if (kVector || vector) {
    to = *reinterpret_cast<const Pack<T, E>*>(global<sizeof(Pack<T, E>)>(p));
  } else {
    FO_UNROLL
    for (int e = 0; e < E; ++e) to.x[e] = place.has(e) ? *global<sizeof(T)>(p + e) : T(0);
  }
}

template <bool kVector, class T, int E>
FO_DEVICE void write(T* to, const Pack<T, E>& from, const Place& place, bool vector) {
  T* const p = to + place.at();
  if (kVector || vector) {
    *reinterpret_cast<Pack<T, E>*>(global<sizeof(Pack<T, E>)>(p)) = from;
  } else {
    FO_UNROLL
    for (int e = 0; e < E; ++e)
      if (place.has(e)) *global<sizeof(T)>(p + e) = from.x[e];
  }
}

// Copies a struct of a table, a word a thread from `first` on.
#if defined(_MSC_VER)
using Word = uint32_t;
#else
using Word __attribute__((may_alias)) = uint32_t;
#endif
template <class T>
constexpr int kWords = int(sizeof(T) / sizeof(Word));
template <class T>
FO_DEVICE void copy_word(T* to, const T* from, int word) {
  if (word >= 0 && word < kWords<T>)
    reinterpret_cast<Word*>(to)[word] = reinterpret_cast<const Word*>(from)[word];
}

// The part of `count` pieces that is this block's.
struct Range {
  uint32_t begin, end;
};
template <class Block>
FO_DEVICE Range share(const Block& block, uint32_t count) {
  const auto cut = [&](int index) {
    return uint32_t(uint64_t(count) * uint32_t(index) / uint32_t(block.count()));
  };
  return {cut(block.index()), cut(block.index() + 1)};
}

}  // namespace fo::cuda
