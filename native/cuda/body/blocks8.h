#pragma once
// States of 8 bits. A scale belongs to 256 elements, so their new values wait in shared memory until the
// largest of them is known.
#include "../../vec/dynamic8.h"
#include "flavors.h"

namespace fo::cuda {

constexpr int kRound = kThreads * 4;                    // elements that a block works on at a time
constexpr int kPeaks = 32;                              // parts in which their largest are found
constexpr int kPeakGroup = kThreads / kPeaks;           // threads of a part
constexpr int kScaleThreads = int(kBlockElements) / 4;  // threads whose elements share a scale

constexpr int kStates8 = 3;  // at most, of a rule that knows 8 bits

struct Blocks8Memory {
  Dynamic8 maps[2];  // of what is never negative, and of what is signed
  Pack<float, 4> next[kStates8][kThreads];
  float magnitudes[kStates8][kThreads], peaks[kStates8][kPeaks];
};

#if defined(__CUDACC__)
static __device__ const Dynamic8 kMaps8[] = {dynamic8(false), dynamic8(true)};
#else
constexpr Dynamic8 kMaps8[] = {dynamic8(false), dynamic8(true)};
#endif

// encode8() with few reads of the table: the code is computed, and the table has the last word.
FO_DEVICE uint8_t find8(const Dynamic8& map, bool is_signed, float fraction) {
  const float magnitude = fraction < 0 ? -fraction : fraction;
  float scaled = lane::multiply(magnitude, 1e6f), limit = 1e-6f;
  int codes = is_signed ? 1 : 2, first = is_signed ? 128 : 1;  // of the decade
  FO_UNROLL
  for (int decade = 1; decade < 7; ++decade) {
    if (magnitude >= limit) scaled = lane::multiply(scaled, 0.1f), first += codes, codes *= 2;
    limit *= 10;
  }
  const float place = lane::multiply(lane::add(scaled, -0.1f), float(codes) * (1 / 0.9f));
  int code = place <= 0 ? first - 1 : first + int(place < float(codes) ? place : float(codes));
  if (fraction < 0) code = 254 - code;
  code = code < 0 ? 0 : code > 255 ? 255 : code;
  while (code < 255 && fraction > map.bounds[code]) ++code;
  while (code > 0 && !(fraction > map.bounds[code - 1])) --code;
  return uint8_t(code);
}

struct Blocks8 : Mixed {
  using Half = Blocks8;  // memory is laid out for four
  FO_DEVICE float* scales_of(const TensorRow& row, int k) {
    return reinterpret_cast<float*>(static_cast<char*>(row.states[k]) + scales_offset(row.length));
  }
  FO_DEVICE int thread_of(const Place& at) { return int(at.first / E % kThreads); }

  // Four codes, and their scale.
  template <bool kFast>
  FO_DEVICE void fetch_state(Raw& raw, const View& view, int k, const Place& at) {
    const uint8_t* const codes = static_cast<const uint8_t*>(view.row.states[k]) + at.at();
    if (view.vector<E>(kFirstState + k, at)) {
      raw.word[0] = *reinterpret_cast<const Word*>(global<4>(codes));
    } else {
      raw.word[0] = 0;
      FO_UNROLL
      for (int e = 0; e < E; ++e)
        if (at.has(e)) raw.word[0] |= uint32_t(*global<1>(codes + e)) << 8 * e;
    }
    raw.word[1] = bits_of(global<4>(scales_of(view.row, k))[at.at() / kBlockElements]);
  }
  FO_DEVICE void decode_state(Reals& x, const Raw& raw, const View& view, int, const Place&, bool is_signed) {
    const float* const values = view.blocks->maps[is_signed].values;
    FO_UNROLL
    for (int e = 0; e < E; ++e)
      x.x[e] = decode8(values, uint8_t(raw.word[0] >> 8 * e), float_of(raw.word[1]));
  }
  template <bool kFast>
  FO_DEVICE void put_state(const View& view, int k, const Place& at, const Reals& x) {
    float largest = 0;
    FO_UNROLL
    for (int e = 0; e < E; ++e) {
      const float magnitude = at.has(e) ? magnitude8(x.x[e]) : 0.f;
      largest = magnitude > largest ? magnitude : largest;
    }
    const int thread = thread_of(at);
    view.blocks->next[k][thread] = x;
    view.blocks->magnitudes[k][thread] = largest;
  }

  // The codes and the scale of what has been put.
  FO_DEVICE void encode_state(const View& view, int k, const Place& at, bool is_signed) {
    const Blocks8Memory& m = *view.blocks;
    const int thread = thread_of(at), team = thread / kScaleThreads;
    constexpr int kParts = kScaleThreads / kPeakGroup;
    float scale = 0;
    FO_UNROLL
    for (int i = 0; i < kParts; ++i) {
      const float peak = m.peaks[k][team * kParts + i];
      scale = peak > scale ? peak : scale;
    }
    const Reals& x = m.next[k][thread];
    uint32_t word = 0;
    FO_UNROLL
    for (int e = 0; e < E; ++e)
      word |= uint32_t(find8(m.maps[is_signed], is_signed, fraction8(x.x[e], scale))) << 8 * e;
    uint8_t* const codes = static_cast<uint8_t*>(view.row.states[k]) + at.at();
    if (view.vector<E>(kFirstState + k, at)) {
      *reinterpret_cast<Word*>(global<4>(codes)) = word;
    } else {
      FO_UNROLL
      for (int e = 0; e < E; ++e)
        if (at.has(e)) *global<1>(codes + e) = uint8_t(word >> 8 * e);
    }
    if (thread % kScaleThreads == 0) global<4>(scales_of(view.row, k))[at.at() / kBlockElements] = scale;
  }
};

// The largest magnitudes of some threads.
FO_DEVICE void find_peaks(Blocks8Memory& m, int k, int thread) {
  if (thread >= kPeaks) return;
  float largest = 0;
  FO_UNROLL
  for (int i = 0; i < kPeakGroup; ++i) {
    const float x = m.magnitudes[k][thread * kPeakGroup + i];
    largest = x > largest ? x : largest;
  }
  m.peaks[k][thread] = largest;
}

}  // namespace fo::cuda
