// Conversions of every instruction set against the definitions for one number, between guard pages.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "../../native/vec/convert.h"
#include "../../native/vec/dynamic8.h"
#include "check.h"
#include "guarded.h"
#include "targets.h"

namespace fo_test {
namespace {

constexpr size_t kLongest = 1100;

// `count` numbers that end where the page after begins; the bytes before them must stay as they are.
template <class T>
class Array {
 public:
  Array() : memory_(kLongest * sizeof(T) / sizeof(float) + 1) {}
  T* place(size_t count) {
    const size_t words = (count * sizeof(T) + 3) / 4, slack = words * 4 - count * sizeof(T);
    char* const words_at = reinterpret_cast<char*>(memory_.at_end(words));
    before_ = memory_.image();
    slack_ = slack;
    return reinterpret_cast<T*>(words_at + slack);
  }
  bool intact() const {
    const auto now = memory_.image();
    return std::memcmp(now.data(), before_.data(), memory_.start() * 4 + slack_) == 0;
  }

 private:
  Guarded memory_;
  std::vector<uint32_t> before_;
  size_t slack_ = 0;
};

std::vector<size_t> counts() {
  std::vector<size_t> all = {127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 1023, 1024, 1025};
  for (size_t n = 0; n < 70; ++n) all.push_back(n);
  return all;
}

// Calls body(count, round) for every length.
template <class F>
void for_counts(const F& body) {
  for (size_t count : counts())
    for (int round = 0; round < rounds(10); ++round) body(count, round);
}

uint32_t nans_as_one(float x) { return result_bits(x); }
uint32_t nans_as_one(double x) { return result_bits(float(x)); }
uint32_t nans_as_one(uint16_t x) { return x; }

// One stream in, one out, against f(number, index).
template <class In, class Out, class Codec, class F>
void unary(const Codec& codec, Random* random, const F& f) {
  Array<In> in;
  Array<Out> out;
  for_counts([&](size_t count, int) {
    In* const x = in.place(count);
    for (size_t i = 0; i < count; ++i) {
      if constexpr (sizeof(In) == 2) {
        x[i] = In(random->next());
      } else {
        random->any(&x[i]);
      }
    }
    Out* const y = out.place(count);
    codec(x, count, y);
    EXPECT(out.intact(), "%zu numbers: memory before them was written", count);
    for (size_t i = 0; i < count; ++i) {
      const Out wanted = f(x[i], i);
      EXPECT(nans_as_one(y[i]) == nans_as_one(wanted), "number %zu of %zu is %g, not %g", i, count,
             double(y[i]), double(wanted));
    }
  });
}

void plain(const fo::Codecs& c) {
  Random random(1);
  unary<uint16_t, float>(c.from_bf16, &random, [](uint16_t x, size_t) { return fo::from_bf16(x); });
  unary<uint16_t, float>(c.from_f16, &random, [](uint16_t x, size_t) { return fo::from_f16(x); });
  unary<float, uint16_t>(c.to_bf16, &random, [](float x, size_t) { return fo::to_bf16(x); });
  unary<float, uint16_t>(c.to_f16, &random, [](float x, size_t) { return fo::to_f16(x); });
  unary<double, float>(c.from_f64, &random, [](double x, size_t) { return float(x); });
  unary<float, double>(c.to_f64, &random, [](float x, size_t) { return double(x); });
}

// Every 16-bit number comes back as itself, and halfway between neighbours the even one is taken.
void every_16bit_number(const fo::Codecs& c) {
  std::vector<uint16_t> all(65536), back(65536);
  std::vector<float> wide(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = uint16_t(i);
  const auto check = [&](const char* name, auto widen, auto narrow, uint16_t infinity) {
    widen(all.data(), all.size(), wide.data());
    narrow(wide.data(), all.size(), back.data());
    for (size_t i = 0; i < all.size(); ++i) {
      const bool nan = (i & 0x7fff) > infinity;
      EXPECT(nan ? (back[i] & 0x7fff) > infinity : back[i] == i, "%s %04zx came back as %04x", name, i,
             back[i]);
    }
    for (size_t i = 0; i < infinity - 1u; ++i) {
      const float half = float((double(wide[i]) + double(wide[i + 1])) / 2);
      uint16_t found;
      narrow(&half, 1, &found);
      EXPECT(found == (i & 1 ? i + 1 : i), "%s: between %04zx and the next is %04x", name, i, found);
    }
  };
  check("bfloat16", c.from_bf16, c.to_bf16, 0x7f80);
  check("float16", c.from_f16, c.to_f16, 0x7c00);
}

void stochastic(const fo::Codecs& c) {
  Random random(2);
  uint32_t key = 7, first = 0xffffffe0;  // indices wrap
  const auto codec = [&](const float* in, size_t count, uint16_t* out) {
    c.to_bf16_stochastic(in, count, key, first, out);
  };
  unary<float, uint16_t>(codec, &random, [&](float x, size_t i) {
    return fo::to_bf16_stochastic(x, fo::random_bits(key, first + uint32_t(i)));
  });
  // Up as often as the part that is cut off says, and never away from the two neighbours.
  constexpr size_t kMany = 100000;
  for (double part : {0.1, 0.5, 0.75}) {
    const float x = float(1 + part / 128);
    std::vector<float> in(kMany, x);
    std::vector<uint16_t> out(kMany);
    c.to_bf16_stochastic(in.data(), kMany, 99, 0, out.data());
    size_t up = 0;
    for (uint16_t y : out) {
      EXPECT(y == 0x3f80 || y == 0x3f81, "%.9g became %04x", double(x), y);
      up += y == 0x3f81;
    }
    const double deviation = std::sqrt(double(kMany) * part * (1 - part));
    EXPECT(std::fabs(double(up) - part * kMany) < 5 * deviation, "%zu of %zu went up, for a part of %g", up,
           kMany, part);
  }
}

void kahan(const fo::Codecs& c) {
  Random random(3);
  Array<float> next;
  Array<uint16_t> param, rest;
  for_counts([&](size_t count, int round) {
    float* const x = next.place(count);
    uint16_t* const p = param.place(count);
    uint16_t* const r = rest.place(count);
    std::vector<uint16_t> wanted_p(count), wanted_r(count);
    for (size_t i = 0; i < count; ++i) {
      p[i] = round & 1 ? uint16_t(random.next()) : fo::to_bf16(random.small());
      r[i] = fo::to_bf16(0.001f * random.small());
      x[i] = round & 1 ? random.any() : fo::from_bf16(p[i]) + 0.001f * random.small();
      wanted_r[i] = r[i];
      wanted_p[i] = fo::add_kahan(fo::from_bf16(p[i]), x[i], &wanted_r[i]);
    }
    c.add_kahan(x, count, p, r);
    EXPECT(param.intact() && rest.intact(), "%zu numbers: memory before them was written", count);
    for (size_t i = 0; i < count; ++i) {
      const bool nan = std::isnan(fo::from_bf16(p[i])) && std::isnan(fo::from_bf16(wanted_p[i]));
      EXPECT((nan || p[i] == wanted_p[i]) && r[i] == wanted_r[i],
             "%zu of %zu: %04x and %04x, not %04x and %04x", i, count, p[i], r[i], wanted_p[i], wanted_r[i]);
    }
  });
  // A thousand steps too small for bfloat16 add up; what is infinite stays so.
  uint16_t p = fo::to_bf16(1), r = 0;
  for (int step = 0; step < 1000; ++step) {
    const float x = fo::from_bf16(p) + 1e-4f;
    c.add_kahan(&x, 1, &p, &r);
  }
  EXPECT(std::fabs(fo::from_bf16(p) + fo::from_bf16(r) - 1.1f) < 5e-3f, "1 + 1000 * 0.0001 is %g + %g",
         fo::from_bf16(p), fo::from_bf16(r));
  p = 0x7f80, r = 0;
  const float infinite = INFINITY;
  for (int step = 0; step < 2; ++step) c.add_kahan(&infinite, 1, &p, &r);
  EXPECT(p == 0x7f80 && r == 0, "infinity became %04x with %04x to go", p, r);
}

void halves(const fo::Codecs& c) {
  Random random(4);
  Array<float> in, out;
  Array<uint16_t> high, low;
  for_counts([&](size_t count, int round) {
    float* const x = in.place(count);
    for (size_t i = 0; i < count; ++i) x[i] = round & 1 ? random.any() : random.small();
    uint16_t *const h = high.place(count), *const l = low.place(count);
    c.split(x, count, h, l);
    float* const y = out.place(count);
    c.join(h, l, count, y);
    EXPECT(high.intact() && low.intact() && out.intact(), "%zu numbers: memory before them was written",
           count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT(result_bits(y[i]) == result_bits(x[i]), "%08x came back as %08x", bits_of(x[i]), bits_of(y[i]));
      const float seen = fo::from_bf16(h[i]);
      EXPECT(std::isnan(x[i]) ? std::isnan(seen) : h[i] == fo::split_high(x[i]), "%g is seen as %g", x[i],
             seen);
    }
  });
}

void blocks(const fo::Codecs& c, bool is_signed) {
  const fo::Dynamic8& map = is_signed ? fo::kSigned8 : fo::kUnsigned8;
  const double bound = is_signed ? 0.0071 : 0.0036;  // half of the widest gap between values, and a little
  Random random(5);
  Array<float> in, out, scales;
  Array<uint8_t> codes;
  for_counts([&](size_t count, int round) {
    float* const x = in.place(count);
    for (size_t i = 0; i < count; ++i) {
      x[i] = round % 3 == 0 ? random.any() : random.small() * (round % 3 == 1 ? 1e-38f : 1.f);
      if (!is_signed && x[i] < 0) x[i] = -x[i];
      if (round == 5) x[i] = 0;
    }
    const size_t count_of_scales = (count + 255) / 256;
    float* const s = scales.place(count_of_scales);
    uint8_t* const k = codes.place(count);
    c.to_blocks8(x, count, is_signed, k, s);
    float* const y = out.place(count);
    c.from_blocks8(k, s, count, is_signed, y);
    EXPECT(codes.intact() && scales.intact() && out.intact(), "%zu numbers: memory before them was written",
           count);
    for (size_t i = 0; i < count; ++i) {
      float scale = 0;
      for (size_t j = i / 256 * 256; j < std::min(count, i / 256 * 256 + 256); ++j)
        scale = std::max(scale, fo::magnitude8(x[j]));
      EXPECT(bits_of(s[i / 256]) == bits_of(scale), "the scale is %g, not %g", s[i / 256], scale);
      const uint8_t wanted = fo::encode8(map.bounds, fo::fraction8(x[i], scale));
      EXPECT(k[i] == wanted, "%g of %g has code %d, not %d", x[i], scale, k[i], wanted);
      EXPECT(bits_of(y[i]) == bits_of(fo::decode8(map.values, wanted, scale)), "code %d of %g is %g", k[i],
             scale, y[i]);
      if (!std::isfinite(x[i])) continue;
      EXPECT(std::fabs(double(y[i]) - double(x[i])) <= bound * scale + 1e-45, "%g of %g came back as %g",
             x[i], scale, y[i]);
      EXPECT(is_signed || !(x[i] / scale > 0) || k[i] > 0, "%g of %g became zero", x[i], scale);
    }
  });
}

// Around every bound of the map and all over, for both signs: the scale is 1.
void fractions(const fo::Codecs& c, bool is_signed) {
  const fo::Dynamic8& map = is_signed ? fo::kSigned8 : fo::kUnsigned8;
  std::vector<float> all = {0, -0.f, INFINITY, -INFINITY, NAN, 1e-45f};
  for (float bound : map.bounds)
    for (int ulp = -40; ulp <= 40; ++ulp)
      all.push_back(from_bits(uint32_t(std::max(0, int(bits_of(std::fabs(bound))) + ulp))));
  for (uint32_t bits = 0; bits <= 0x3f800000; bits += session.quick ? 40009 : 997)
    all.push_back(from_bits(bits));
  const size_t positive = all.size();
  for (size_t i = 0; i < positive; ++i) all.push_back(-all[i]);
  float block[256];
  uint8_t codes[256];
  float scale;
  for (size_t at = 0; at < all.size(); at += 255) {
    const size_t count = std::min<size_t>(255, all.size() - at);
    std::copy_n(&all[at], count, block);
    block[count] = 1;
    c.to_blocks8(block, count + 1, is_signed, codes, &scale);
    for (size_t i = 0; i < count; ++i) {
      const uint8_t wanted = fo::encode8(map.bounds, fo::fraction8(block[i], 1));
      EXPECT(codes[i] == wanted, "%.9g has code %d, not %d", double(block[i]), codes[i], wanted);
    }
  }
}

void map_of(bool is_signed) {
  const fo::Dynamic8& map = is_signed ? fo::kSigned8 : fo::kUnsigned8;
  for (int k = 0; k < 255; ++k) {
    EXPECT(map.values[k] < map.values[k + 1], "value %d", k);
    EXPECT(map.bounds[k] < map.values[k + 1] && map.bounds[k] >= map.values[k], "bound %d", k);
  }
  for (int k = 0; k < 256; ++k) EXPECT(fo::encode8(map.bounds, map.values[k]) == k, "value %d", k);
  EXPECT(map.values[map.zero] == 0 && map.values[255] == 1, "zero or one");
}

}  // namespace

void test_codecs() {
  for (bool is_signed : {false, true})
    test(std::string("codecs: the ") + (is_signed ? "signed" : "unsigned") + " map of 8 bits",
         [&] { map_of(is_signed); });
  for (const fo::Isa* isa : targets()) {
    const std::string prefix = std::string("codecs ") + isa->name + ": ";
    const fo::Codecs& codecs = *isa->codecs;
    test(prefix + "one number to one", [&] { plain(codecs); });
    test(prefix + "every number of 16 bits", [&] { every_16bit_number(codecs); });
    test(prefix + "stochastic rounding", [&] { stochastic(codecs); });
    test(prefix + "Kahan's summation", [&] { kahan(codecs); });
    test(prefix + "halves", [&] { halves(codecs); });
    for (bool is_signed : {false, true}) {
      const std::string name = prefix + (is_signed ? "signed" : "unsigned") + " blocks of 8 bits";
      test(name, [&] { blocks(codecs, is_signed); });
      test(name + ", every bound", [&] { fractions(codecs, is_signed); });
    }
  }
}

}  // namespace fo_test
