#pragma once
// The flavors of kernels: how the streams of a tensor become what is computed with, and back. A flavor
// fetches all streams of its elements before it decodes any, so that all loads are on their way at once.
#include <type_traits>

#include "../../vec/convert.h"
#include "../../vec/cuda.h"
#include "../kernels.h"
#include "access.h"

namespace fo::cuda {

struct Blocks8Memory;

// A tensor as one thread sees it.
struct View {
  const TensorRow& row;
  const Slot& slot;
  Blocks8Memory* blocks = nullptr;  // of kBlocks8
  bool wide = false;                // all streams are aligned for groups of elements
  template <int E>
  FO_MEMBER bool vector(int stream, const Place& at) const {
    return at.whole(E) && (row.vectors >> stream & 1) != 0;
  }
};

// Elements of a chunk.
FO_DEVICE uint32_t count_of(const TensorRow& row, uint32_t index) {
  const uint64_t left = row.length - uint64_t(index) * kChunk;
  return left < kChunk ? uint32_t(left) : kChunk;
}

// A part of a chunk of a tensor: elements `begin` to `end` of those that it may have.
struct Piece {
  uint32_t chunk, begin, end;
};

// Calls f(place) for a thread's part of a piece, kSpan elements at a time. A piece ends between these or with
// the tensor, so its end is all that a place has to know.
template <int kSpan, class Each>
FO_DEVICE void each_place(const TensorRow& row, const Piece& piece, int thread, const Each& f) {
  // Asked for anew each time, so that it is in no register meanwhile.
  const auto end = [&] {
    const uint32_t count = count_of(row, piece.chunk);
    return piece.end < count ? piece.end : count;
  };
  for (uint32_t i = piece.begin + uint32_t(thread) * kSpan; i < end(); i += kThreads * kSpan)
    f(Place{piece.chunk, i, end()});
}

// Every stream is of T. Whether a fast update takes groups of elements is in the type, how many is not:
// kernels have the same names for all GPUs, and in the code that launches them.
template <class T, int kElements, bool kTakesGroups = false>
struct Pure {
  using Real = T;
  using V = lane::Lane<T>;
  using Single = Pure<T, 1>;  // the same, few elements at a time
  using Half = Pure<T, kElements / 2>;
  static constexpr int E = kElements, kGroups = kTakesGroups ? FO_PLAIN_GROUPS : 1;
  static constexpr size_t kGroupBytes = kGroups * E * sizeof(T);
  // A second loop for tensors all of whose streams are aligned, where there are registers and time for it.
  static constexpr bool kFastPath = std::is_same<T, float>::value;
  using Raw = Pack<T, E>;
  using Reals = Pack<T, E>;

  template <bool kFast>
  FO_DEVICE void fetch(Raw& raw, const View& view, const void* stream, DType, int number, const Place& at) {
    read<kFast>(raw, static_cast<const T*>(stream), at, view.template vector<E>(number, at));
  }
  FO_DEVICE void decode(Reals& x, const Raw& raw, DType) { x = raw; }
  template <bool kFast>
  FO_DEVICE void put(const View& view, void* stream, DType, int number, const Place& at, const Reals& x) {
    write<kFast>(static_cast<T*>(stream), x, at, view.template vector<E>(number, at));
  }

  // State k of a rule; `is_signed` matters to other flavors.
  template <bool kFast>
  FO_DEVICE void fetch_state(Raw& raw, const View& view, int k, const Place& at) {
    fetch<kFast>(raw, view, view.row.states[k], DType::kF32, kFirstState + k, at);
  }
  FO_DEVICE void decode_state(Reals& x, const Raw& raw, const View&, int, const Place&, bool) { x = raw; }
  template <bool kFast>
  FO_DEVICE void put_state(const View& view, int k, const Place& at, const Reals& x) {
    put<kFast>(view, view.row.states[k], DType::kF32, kFirstState + k, at, x);
  }

  // The parameter, whatever it is kept as.
  using Weights = Raw;
  template <bool kFast>
  FO_DEVICE void fetch_weights(Weights& w, const View& view, const Place& at) {
    fetch<kFast>(w, view, view.row.param, DType::kF32, kParamStream, at);
  }
  FO_DEVICE void decode_weights(Reals& p, const Weights& w, const View&) { p = w; }
  template <bool kFast>
  FO_DEVICE void put_weights(const View& view, const Place& at, const Reals& p, const Weights&) {
    put<kFast>(view, view.row.param, DType::kF32, kParamStream, at, p);
  }
  FO_DEVICE unsigned weight_streams(const TensorRow&) { return 1u << kParamStream; }

  template <int G>
  FO_DEVICE void fetch_groups(Raw (&raw)[G], const View& view, const void* stream, const Place& at) {
    read_groups(raw, static_cast<const T*>(stream), at, view.wide);
  }
  using Held = Reals;
  FO_DEVICE Held hold(const Reals& x) { return x; }
  template <int G>
  FO_DEVICE void put_groups(const View& view, void* stream, const Place& at, const Held (&x)[G]) {
    write_groups(static_cast<T*>(stream), x, at, view.wide);
  }
  template <int G>
  FO_DEVICE void fetch_weight_groups(Weights (&w)[G], const View& view, const Place& at) {
    fetch_groups(w, view, view.row.param, at);
  }
  using HeldWeights = Reals;
  FO_DEVICE Reals hold_weights(const Reals& p, const Weights&, const View&, const Place&) { return p; }
  template <int G>
  FO_DEVICE void put_weight_groups(const View& view, const Place& at, const HeldWeights (&p)[G]) {
    put_groups(view, view.row.param, at, p);
  }
};

using Plain = Pure<float, 4, true>;
using Double = Pure<double, 2>;

// Every stream is what the tensor's format says, which all threads of a block branch on alike. Four elements
// at a time, or two of what has much state: there are no registers for more.
template <int kElements>
struct MixedOf {
  using Single = MixedOf<2>;
  using Half = MixedOf<2>;
  using Real = float;
  using V = lane::V;
  static constexpr int E = kElements, kGroups = 1;
  static constexpr size_t kGroupBytes = 16;
  static constexpr bool kFastPath = false;
  // Of 32 bits each, or 16 each in the first half.
  struct Raw {
    uint32_t word[E];
  };
  // Two elements a word: packed as they are made, since registers are short.
  struct Halves {
    uint32_t word[E / 2] = {};
    FO_MEMBER void add(int e, uint16_t half) { word[e / 2] |= uint32_t(half) << e % 2 * 16; }
  };
  struct alignas(2 * E) Words {
    Word word[E / 2];
  };
  using Reals = Pack<float, E>;
  using Held = Reals;  // where there are groups
  using HeldWeights = Reals;

  template <bool kFast>
  FO_DEVICE void fetch_words(Raw& raw, const void* stream, bool wide, const Place& at, bool vector) {
    if (wide) {
      Pack<float, E> x;
      read<kFast>(x, static_cast<const float*>(stream), at, vector);
      FO_UNROLL
      for (int e = 0; e < E; ++e) raw.word[e] = bits_of(x.x[e]);
      return;
    }
    const uint16_t* const half = static_cast<const uint16_t*>(stream);
    if (kFast || vector) {
      const Words x = *reinterpret_cast<const Words*>(global<sizeof(Words)>(half + at.at()));
      FO_UNROLL
      for (int i = 0; i < E / 2; ++i) raw.word[i] = x.word[i];
    } else {
      Pack<uint16_t, E> x;
      read<false>(x, half, at, false);
      FO_UNROLL
      for (int i = 0; i < E / 2; ++i) raw.word[i] = x.x[2 * i] | uint32_t(x.x[2 * i + 1]) << 16;
    }
  }
  template <bool kFast>
  FO_DEVICE void put_halves(void* stream, const Place& at, bool vector, const Halves& x) {
    uint16_t* const half = static_cast<uint16_t*>(stream);
    if (kFast || vector) {
      Words out;
      FO_UNROLL
      for (int i = 0; i < E / 2; ++i) out.word[i] = x.word[i];
      store(half + at.at(), out);
    } else {
      FO_UNROLL
      for (int e = 0; e < E; ++e)
        if (at.has(e)) *global<2>(half + at.at() + e) = half_of(x, e);
    }
  }
  template <class Some>
  FO_DEVICE uint16_t half_of(const Some& from, int e) {
    return uint16_t(from.word[e / 2] >> e % 2 * 16);
  }

  template <bool kFast>
  FO_DEVICE void fetch(Raw& raw, const View& view, const void* stream, DType type, int number,
                       const Place& at) {
    fetch_words<kFast>(raw, stream, type == DType::kF32, at, view.template vector<E>(number, at));
  }
  FO_DEVICE void decode(Reals& x, const Raw& raw, DType type) {
    if (type == DType::kF32) {
      FO_UNROLL
      for (int e = 0; e < E; ++e) x.x[e] = float_of(raw.word[e]);
    } else if (type == DType::kBf16) {
      FO_UNROLL
      for (int e = 0; e < E; ++e) x.x[e] = from_bf16(half_of(raw, e));
    } else {
      FO_UNROLL
      for (int e = 0; e < E; ++e) x.x[e] = from_f16(half_of(raw, e));
    }
  }
  template <bool kFast>
  FO_DEVICE void put(const View& view, void* stream, DType type, int number, const Place& at,
                     const Reals& x) {
    const bool vector = view.template vector<E>(number, at);
    if (type == DType::kF32) return write<kFast>(static_cast<float*>(stream), x, at, vector);
    if (type == DType::kBf16) return put_halves<kFast>(stream, at, vector, nearest(x));
    Halves half;
    FO_UNROLL
    for (int e = 0; e < E; ++e) half.add(e, to_f16(x.x[e]));
    put_halves<kFast>(stream, at, vector, half);
  }
  FO_DEVICE Halves nearest(const Reals& x) {
    Halves half;
    FO_UNROLL
    for (int e = 0; e < E; e += 2) half.word[e / 2] = bf16_pair(x.x[e], x.x[e + 1]);
    return half;
  }

  template <bool kFast>
  FO_DEVICE void fetch_state(Raw& raw, const View& view, int k, const Place& at) {
    fetch<kFast>(raw, view, view.row.states[k], view.row.format.state, kFirstState + k, at);
  }
  FO_DEVICE void decode_state(Reals& x, const Raw& raw, const View& view, int, const Place&, bool) {
    decode(x, raw, view.row.format.state);
  }
  template <bool kFast>
  FO_DEVICE void put_state(const View& view, int k, const Place& at, const Reals& x) {
    put<kFast>(view, view.row.states[k], view.row.format.state, kFirstState + k, at, x);
  }

  struct Weights {
    Raw high, low;
  };
  template <bool kFast>
  FO_DEVICE void fetch_weights(Weights& w, const View& view, const Place& at) {
    const TensorRow& row = view.row;
    if (row.format.rounding == Rounding::kMaster)
      return fetch<kFast>(w.high, view, row.extra, DType::kF32, kExtraStream, at);
    fetch<kFast>(w.high, view, row.param, row.format.param, kParamStream, at);
    if (row.format.rounding == Rounding::kSplit)
      fetch<kFast>(w.low, view, row.extra, DType::kBf16, kExtraStream, at);
  }
  FO_DEVICE void decode_weights(Reals& p, const Weights& w, const View& view) {
    const Format format = view.row.format;
    if (format.rounding == Rounding::kSplit) {
      FO_UNROLL
      for (int e = 0; e < E; ++e) p.x[e] = join(half_of(w.high, e), half_of(w.low, e));
      return;
    }
    decode(p, w.high, format.rounding == Rounding::kMaster ? DType::kF32 : format.param);
  }
  FO_DEVICE Halves by_chance(const Reals& p, const View& view, const Place& at) {
    const uint64_t first = view.row.first + at.at();
    const uint32_t key = rounding_key(0, view.row.key, view.slot.step, uint32_t(first >> 32));
    Halves high;
    FO_UNROLL
    for (int e = 0; e < E; ++e)
      high.add(e, to_bf16_stochastic(p.x[e], random_bits(key, uint32_t(first) + uint32_t(e))));
    return high;
  }
  FO_DEVICE Halves compensated(const Reals& p, const Raw& old, const Raw& rest, Halves* low) {
    Halves high;
    FO_UNROLL
    for (int e = 0; e < E; ++e) {
      uint16_t left = half_of(rest, e);
      high.add(e, add_kahan(from_bf16(half_of(old, e)), p.x[e], &left));
      low->add(e, left);
    }
    return high;
  }
  FO_DEVICE Halves split(const Reals& p, Halves* low) {
    Halves high;
    FO_UNROLL
    for (int e = 0; e < E; ++e) {
      const float x = canonical(p.x[e]);
      high.add(e, split_high(x)), low->add(e, split_low(x));
    }
    return high;
  }
  template <bool kFast>
  FO_DEVICE void put_weights(const View& view, const Place& at, const Reals& p, const Weights&) {
    const TensorRow& row = view.row;
    const bool vector = view.template vector<E>(kParamStream, at),
               extra_vector = view.template vector<E>(kExtraStream, at);
    Halves high, low;
    switch (row.format.rounding) {
      case Rounding::kMaster:
        write<kFast>(static_cast<float*>(row.extra), p, at, extra_vector);
        [[fallthrough]];
      case Rounding::kNearest:
        return put<kFast>(view, row.param, row.format.param, kParamStream, at, p);
      case Rounding::kStochastic:
        high = by_chance(p, view, at);
        break;
      case Rounding::kKahan: {
        // Read again: to keep them meanwhile would take registers from everything else.
        Raw old, rest;
        fetch<kFast>(old, view, row.param, DType::kBf16, kParamStream, at);
        fetch<kFast>(rest, view, row.extra, DType::kBf16, kExtraStream, at);
        high = compensated(p, old, rest, &low);
        put_halves<kFast>(row.extra, at, extra_vector, low);
        break;
      }
      case Rounding::kSplit:
        high = split(p, &low);
        put_halves<kFast>(row.extra, at, extra_vector, low);
        break;
    }
    put_halves<kFast>(row.param, at, vector, high);
  }
  FO_DEVICE unsigned weight_streams(const TensorRow& row) {
    return 1u << kParamStream | (row.extra ? 1u << kExtraStream : 0u);
  }
};

using Mixed = MixedOf<4>;

}  // namespace fo::cuda
