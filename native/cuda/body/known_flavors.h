#pragma once
// Mixed where most of a format is known. What it asks of every stream at every element costs more time there
// than the bytes do.
#include "flavors.h"

namespace fo::cuda {

// States of one type.
template <DType kState, int kElements>
struct KnownStates : MixedOf<kElements> {
  using Base = MixedOf<kElements>;
  using typename Base::Raw, typename Base::Reals;
  static constexpr bool kFastPath = true;

  template <bool kFast>
  FO_DEVICE void fetch_state(Raw& raw, const View& view, int k, const Place& at) {
    Base::template fetch<kFast>(raw, view, view.row.states[k], kState, kFirstState + k, at);
  }
  FO_DEVICE void decode_state(Reals& x, const Raw& raw, const View&, int, const Place&, bool) {
    Base::decode(x, raw, kState);
  }
  template <bool kFast>
  FO_DEVICE void put_state(const View& view, int k, const Place& at, const Reals& x) {
    Base::template put<kFast>(view, view.row.states[k], kState, kFirstState + k, at, x);
  }
};

// Weights and states of float32: the parameter is one, has a master or is split. Gradients are anything.
struct Wide : KnownStates<DType::kF32, 4> {
  using Weights = Raw;  // of split ones the halves, one behind the other
  FO_DEVICE bool is_split(const TensorRow& row) { return row.format.rounding == Rounding::kSplit; }
  FO_DEVICE bool has_master(const TensorRow& row) { return row.extra != nullptr; }
  FO_DEVICE void* weights_of(const TensorRow& row) { return has_master(row) ? row.extra : row.param; }
  FO_DEVICE int stream_of(const TensorRow& row) { return has_master(row) ? kExtraStream : kParamStream; }
  template <bool kFast>
  FO_DEVICE void fetch_weights(Weights& w, const View& view, const Place& at) {
    const TensorRow& row = view.row;
    if (!is_split(row)) return fetch<kFast>(w, view, weights_of(row), DType::kF32, stream_of(row), at);
    Raw low;
    fetch<kFast>(w, view, row.param, DType::kBf16, kParamStream, at);
    fetch<kFast>(low, view, row.extra, DType::kBf16, kExtraStream, at);
    w.word[2] = low.word[0], w.word[3] = low.word[1];
  }
  FO_DEVICE void decode_weights(Reals& p, const Weights& w, const View& view) {
    if (!is_split(view.row)) return decode(p, w, DType::kF32);
    FO_UNROLL
    for (int e = 0; e < E; ++e) p.x[e] = join(half_of(w, e), half_of(w, E + e));
  }
  template <bool kFast>
  FO_DEVICE void put_weights(const View& view, const Place& at, const Reals& p, const Weights&) {
    const TensorRow& row = view.row;
    if (is_split(row)) {
      Halves low;
      put_halves<kFast>(row.param, at, view.vector<E>(kParamStream, at), split(p, &low));
      return put_halves<kFast>(row.extra, at, view.vector<E>(kExtraStream, at), low);
    }
    put<kFast>(view, weights_of(row), DType::kF32, stream_of(row), at, p);
    if (!has_master(row)) return;
    const DType type = row.format.param == DType::kBf16 ? DType::kBf16 : DType::kF16;
    put<kFast>(view, row.param, type, kParamStream, at, p);
  }
};

// Parameters, gradients and states of bfloat16, rounded in any way but those of masters.
struct Bf16 : KnownStates<DType::kBf16, 2> {
  FO_DEVICE void decode(Reals& x, const Raw& raw, DType) { Base::decode(x, raw, DType::kBf16); }

  FO_DEVICE void decode_weights(Reals& p, const Weights& w, const View&) { decode(p, w.high, DType::kBf16); }
  struct HeldWeights {
    Halves high, low;
  };
  FO_DEVICE HeldWeights hold_weights(const Reals& p, const Weights& w, const View& view, const Place& at) {
    HeldWeights held;
    switch (view.row.format.rounding) {
      case Rounding::kStochastic:
        held.high = by_chance(p, view, at);
        break;
      case Rounding::kKahan: {
        Raw low;
        fetch<true>(low, view, view.row.extra, DType::kBf16, kExtraStream, at);
        held.high = compensated(p, w.high, low, &held.low);
        break;
      }
      default:
        held.high = nearest(p);
    }
    return held;
  }

  // Eight elements at a time, 16 bytes, of which two are computed with: there are registers for no more.
  static constexpr int kGroups = 4;
  template <int G>
  struct alignas(4 * E / 2 * G) Eight {
    Word word[E / 2 * G];
  };
  template <int G>
  FO_DEVICE void fetch_groups(Raw (&raw)[G], const View&, const void* stream, const Place& at) {
    const auto* const p = global<sizeof(Eight<G>)>(static_cast<const uint16_t*>(stream) + at.at());
    const Eight<G> x = *reinterpret_cast<const Eight<G>*>(p);
    FO_UNROLL
    for (int i = 0; i < E / 2 * G; ++i) raw[i / (E / 2)].word[i % (E / 2)] = x.word[i];
  }
  using Held = Halves;
  FO_DEVICE Held hold(const Reals& x) { return nearest(x); }
  template <int G>
  FO_DEVICE void put_groups(const View&, void* stream, const Place& at, const Held (&x)[G]) {
    Eight<G> out;
    FO_UNROLL
    for (int i = 0; i < E / 2 * G; ++i) out.word[i] = x[i / (E / 2)].word[i % (E / 2)];
    store(static_cast<uint16_t*>(stream) + at.at(), out);
  }
  template <int G>
  FO_DEVICE void fetch_weight_groups(Weights (&w)[G], const View& view, const Place& at) {
    const TensorRow& row = view.row;
    Raw high[G];
    fetch_groups(high, view, row.param, at);
    // There are no registers to have this wait in.
    if (row.format.rounding == Rounding::kKahan) prefetch(static_cast<const uint16_t*>(row.extra) + at.at());
    FO_UNROLL
    for (int g = 0; g < G; ++g) w[g].high = high[g];
  }
  template <int G>
  FO_DEVICE void put_weight_groups(const View& view, const Place& at, const HeldWeights (&held)[G]) {
    Halves high[G], low[G];
    FO_UNROLL
    for (int g = 0; g < G; ++g) high[g] = held[g].high, low[g] = held[g].low;
    put_groups(view, view.row.param, at, high);
    if (view.row.format.rounding == Rounding::kKahan) put_groups(view, view.row.extra, at, low);
  }
};

}  // namespace fo::cuda
