#pragma once
// Mixed where most of a format is known. What it asks of every stream at every element costs more time there
// than the bytes do.
#include "flavors.h"

namespace fo::cuda {

// States of one type.
template <DType kState>
struct KnownStates : Mixed {
  static constexpr bool kFastPath = true;

  template <bool kFast>
  FO_DEVICE void fetch_state(Raw& raw, const View& view, int k, const Place& at) {
    fetch<kFast>(raw, view, view.row.states[k], kState, kFirstState + k, at);
  }
  FO_DEVICE void decode_state(Reals& x, const Raw& raw, const View&, int, const Place&, bool) {
    decode(x, raw, kState);
  }
  template <bool kFast>
  FO_DEVICE void put_state(const View& view, int k, const Place& at, const Reals& x) {
    put<kFast>(view, view.row.states[k], kState, kFirstState + k, at, x);
  }
};

// Weights and states of float32: the parameter is one or has a master. Gradients are anything.
struct Wide : KnownStates<DType::kF32> {
  using Single = Wide;

  using Weights = Raw;
  FO_DEVICE bool has_master(const TensorRow& row) { return row.extra != nullptr; }
  FO_DEVICE void* weights_of(const TensorRow& row) { return has_master(row) ? row.extra : row.param; }
  FO_DEVICE int stream_of(const TensorRow& row) { return has_master(row) ? kExtraStream : kParamStream; }
  template <bool kFast>
  FO_DEVICE void fetch_weights(Weights& w, const View& view, const Place& at) {
    fetch<kFast>(w, view, weights_of(view.row), DType::kF32, stream_of(view.row), at);
  }
  FO_DEVICE void decode_weights(Reals& p, const Weights& w, const View&) { decode(p, w, DType::kF32); }
  template <bool kFast>
  FO_DEVICE void put_weights(const View& view, const Place& at, const Reals& p, const Weights&) {
    const TensorRow& row = view.row;
    put<kFast>(view, weights_of(row), DType::kF32, stream_of(row), at, p);
    if (!has_master(row)) return;
    const DType type = row.format.param == DType::kBf16 ? DType::kBf16 : DType::kF16;
    put<kFast>(view, row.param, type, kParamStream, at, p);
  }
};

// Parameters, gradients and states of bfloat16, rounded in any way but those of masters.
struct Bf16 : KnownStates<DType::kBf16> {
  using Single = Bf16;

  template <bool kFast>
  FO_DEVICE void fetch(Raw& raw, const View& view, const void* stream, DType, int number, const Place& at) {
    Mixed::fetch<kFast>(raw, view, stream, DType::kBf16, number, at);
  }
  FO_DEVICE void decode(Reals& x, const Raw& raw, DType) { Mixed::decode(x, raw, DType::kBf16); }

  template <bool kFast>
  FO_DEVICE void fetch_weights(Weights& w, const View& view, const Place& at) {
    fetch<kFast>(w.high, view, view.row.param, DType::kBf16, kParamStream, at);
    if (view.row.format.rounding == Rounding::kKahan)
      fetch<kFast>(w.low, view, view.row.extra, DType::kBf16, kExtraStream, at);
  }
  FO_DEVICE void decode_weights(Reals& p, const Weights& w, const View&) { decode(p, w.high, DType::kBf16); }
  template <bool kFast>
  FO_DEVICE void put_weights(const View& view, const Place& at, const Reals& p, const Weights& w) {
    const TensorRow& row = view.row;
    const bool vector = view.vector<E>(kParamStream, at);
    Halves low;
    switch (row.format.rounding) {
      case Rounding::kStochastic:
        return put_halves<kFast>(row.param, at, vector, by_chance(p, view, at));
      case Rounding::kKahan:
        put_halves<kFast>(row.param, at, vector, compensated(p, w.high, w.low, &low));
        return put_halves<kFast>(row.extra, at, view.vector<E>(kExtraStream, at), low);
      default:
        put<kFast>(view, row.param, DType::kBf16, kParamStream, at, p);
    }
  }
};

}  // namespace fo::cuda
