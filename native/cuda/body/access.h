#pragma once
// Reading and writing a few neighbouring elements at a time.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../block.h"
#include "../tables.h"

// nvcc compiles for the host too, where its pragmas are unknown.
#if defined(__CUDA_ARCH__)
#define FO_UNROLL _Pragma("unroll")
#define FO_PRAGMA(text) _Pragma(#text)
#define FO_UNROLL_BY(count) FO_PRAGMA(unroll count)
#define FO_NO_UNROLL _Pragma("unroll 1")
#else
#define FO_UNROLL
#define FO_UNROLL_BY(count)
#define FO_NO_UNROLL
#endif
#if defined(__CUDACC__)
#define FO_CALLED static __device__ __noinline__
#else
#define FO_CALLED static
#endif

// Groups of elements that a thread of an update takes at a time where all of them are float32: 32 bytes,
// where there are accesses of so many.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 1000
#define FO_PLAIN_GROUPS 2
#else
#define FO_PLAIN_GROUPS 1
#endif

namespace fo::cuda {

#if defined(_MSC_VER)
using Word = uint32_t;
#else
using Word __attribute__((may_alias)) = uint32_t;
#endif

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

// Writes a struct of up to 32 bytes that begins at a multiple of them, in one access where there is one so
// wide. Left to the compiler, it would become an access a word.
template <class T>
FO_DEVICE void store(void* to, const T& from) {
#if defined(__CUDACC__)
  constexpr int kCount = int(sizeof(T) / 4);
  static_assert(kCount == 1 || kCount == 2 || kCount == 4 || kCount == 8, "sizes of accesses");
  uint32_t x[kCount];
  std::memcpy(x, &from, sizeof x);
  const size_t at = __cvta_generic_to_global(to);
  if constexpr (kCount == 1) {
    asm volatile("st.global.b32 [%0], %1;" ::"l"(at), "r"(x[0]) : "memory");
  } else if constexpr (kCount == 2) {
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(at), "r"(x[0]), "r"(x[1]) : "memory");
  } else if constexpr (kCount == 4) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(x[0]), "r"(x[1]), "r"(x[2]),
                 "r"(x[3])
                 : "memory");
  } else {
#if __CUDA_ARCH__ >= 1000
    asm volatile("st.global.v8.b32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8};" ::"l"(at), "r"(x[0]), "r"(x[1]),
                 "r"(x[2]), "r"(x[3]), "r"(x[4]), "r"(x[5]), "r"(x[6]), "r"(x[7])
                 : "memory");
#endif
  }
#else
  *static_cast<T*>(global<sizeof(T)>(to)) = from;
#endif
}

// Brings a line of memory near that is read soon.
FO_DEVICE void prefetch(const void* p) {
#if defined(__CUDACC__)
  asm volatile("prefetch.global.L1 [%0];" ::"l"(__cvta_generic_to_global(p)));
#else
  (void)p;
#endif
}

// Elements of one thread. Kept as three short numbers, from which the others are computed where needed.
struct Place {
  uint32_t chunk, first, count;                                               // in its chunk
  FO_MEMBER uint64_t at() const { return uint64_t(chunk) * kChunk + first; }  // in its tensor
  FO_MEMBER bool has(int e) const { return first + uint32_t(e) < count; }     // element e is the tensor's
  FO_MEMBER bool whole(int elements) const { return count - first >= uint32_t(elements); }  // all are
  FO_MEMBER Place after(int elements) const { return {chunk, first + uint32_t(elements), count}; }
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
    store(p, from);
  } else {
    FO_UNROLL
    for (int e = 0; e < E; ++e)
      if (place.has(e)) *global<sizeof(T)>(p + e) = from.x[e];
  }
}

// Groups of E elements, all of them valid and at multiples of 16 bytes. `wide`: at those of all groups
// together.
template <class T, int E, int G>
FO_DEVICE void read_groups(Pack<T, E> (&to)[G], const T* from, const Place& place, bool wide) {
  const T* const p = from + place.at();
  if (wide) {
    using All = Pack<T, E * G>;
    const All all = *reinterpret_cast<const All*>(global<sizeof(All)>(p));
    FO_UNROLL
    for (int i = 0; i < E * G; ++i) to[i / E].x[i % E] = all.x[i];
  } else {
    FO_UNROLL
    for (int g = 0; g < G; ++g) read<true>(to[g], p + g * E, Place{0, 0, 0}, true);
  }
}
template <class T, int E, int G>
FO_DEVICE void write_groups(T* to, const Pack<T, E> (&from)[G], const Place& place, bool wide) {
  T* const p = to + place.at();
  if (wide) {
    using All = Pack<T, E * G>;
    All all;
    FO_UNROLL
    for (int i = 0; i < E * G; ++i) all.x[i] = from[i / E].x[i % E];
    store(p, all);
  } else {
    FO_UNROLL
    for (int g = 0; g < G; ++g) write<true>(p + g * E, from[g], Place{0, 0, 0}, true);
  }
}

// Copies a struct of a table, a word a thread from `first` on.
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
