// V against the standard library, bit for bit.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "guarded.h"
#include "targets.h"
#include "vec_ops.h"

extern "C" {
const fo_test::VecOps* fo_vec_ops_scalar();
#if defined(__x86_64__)
const fo_test::VecOps* fo_vec_ops_avx2();
const fo_test::VecOps* fo_vec_ops_avx512();
#endif
}

namespace fo_test {
namespace {

const VecOps& ops_of(const fo::Isa& isa) {
#if defined(__x86_64__)
  if (std::string(isa.name) == "avx2") return *fo_vec_ops_avx2();
  if (std::string(isa.name) == "avx512") return *fo_vec_ops_avx512();
#endif
  EXPECT(std::string(isa.name) == "scalar", "%s has no table of operations in this test", isa.name);
  return *fo_vec_ops_scalar();
}

float expected(int op, float a, [[maybe_unused]] float b, [[maybe_unused]] float c) {
  switch (op) {
#define FO_CASE(name, vector, scalar) \
  case k_##name:                      \
    return scalar;
    FO_VEC_OPS(FO_CASE)
#undef FO_CASE
  }
  return 0;
}

const char* const kNames[] = {
#define FO_NAME(name, vector, scalar) #name,
    FO_VEC_OPS(FO_NAME)
#undef FO_NAME
};

// Feeds triples to an operation, a vector at a time.
class Feeder {
 public:
  Feeder(const VecOps& ops, int op) : ops_(ops), op_(op), in_(3 * ops.width), out_(ops.width) {}
  void feed(float a, float b, float c) {
    in_[used_] = a, in_[ops_.width + used_] = b, in_[2 * ops_.width + used_] = c;
    if (++used_ == ops_.width) flush();
  }

 private:
  void flush() {
    const float *a = in_.data(), *b = a + ops_.width, *c = b + ops_.width;
    ops_.full[op_](a, b, c, out_.data());
    for (size_t i = 0; i < used_; ++i) {
      const uint32_t wanted = result_bits(expected(op_, a[i], b[i], c[i])), found = result_bits(out_[i]);
      EXPECT(found == wanted, "%s(%08x, %08x, %08x) gave %08x, not %08x", kNames[op_], bits_of(a[i]),
             bits_of(b[i]), bits_of(c[i]), found, wanted);
    }
    used_ = 0;
  }
  const VecOps& ops_;
  int op_;
  size_t used_ = 0;
  std::vector<float> in_, out_;
};

void arithmetic(const VecOps& ops, int op) {
  Feeder feeder(ops, op);
  for (uint32_t a : kSpecials)
    for (uint32_t b : kSpecials)
      for (uint32_t c : kSpecials) feeder.feed(from_bits(a), from_bits(b), from_bits(c));
  Random random(uint64_t(op) + 1);
  for (int i = 0; i < rounds(100000); ++i) feeder.feed(random.any(), random.any(), random.any());
  // Of one magnitude, where products cancel sums and every rounding shows.
  for (int i = 0; i < rounds(100000); ++i) {
    const float a = random.small(), b = random.small();
    feeder.feed(a, b, i & 1 ? random.small() : -a * b);
  }
}

// Every place of the arrays: four-byte offsets, and flush with a page that must not be touched.
void memory(const VecOps& ops, int op, bool whole) {
  const size_t width = ops.width;
  Guarded arrays[4] = {Guarded(4 * width), Guarded(4 * width), Guarded(4 * width), Guarded(4 * width)};
  Random random(uint64_t(op) + 100);
  for (size_t n = whole ? width : 0; n <= width; ++n) {
    for (size_t offset = 0; offset <= width + 1; ++offset) {  // the last round: at the end of the pages
      float* at[4];
      for (int k = 0; k < 4; ++k) {
        at[k] =
            offset > width ? arrays[k].at_end(n) : arrays[k].at_start(n, (offset + size_t(k)) % (width + 1));
        for (size_t i = 0; k < 3 && i < n; ++i) at[k][i] = random.any();
      }
      const auto before = arrays[3].image();
      if (whole) {
        ops.full[op](at[0], at[1], at[2], at[3]);
      } else {
        ops.part[op](at[0], at[1], at[2], at[3], n);
      }
      const auto after = arrays[3].image();
      const size_t start = arrays[3].start();
      for (size_t i = 0; i < after.size(); ++i) {
        const bool inside = i >= start && i < start + n;
        const size_t lane = i - start;
        const uint32_t wanted =
            inside ? result_bits(expected(op, at[0][lane], at[1][lane], at[2][lane])) : before[i];
        const uint32_t found = inside ? result_bits(after[i]) : after[i];
        EXPECT(found == wanted, "%s of %zu lanes at offset %zu: float %td is %08x, not %08x", kNames[op], n,
               offset, std::ptrdiff_t(lane), found, wanted);
      }
    }
  }
}

void widening(const VecOps& ops) {
  Guarded array(ops.width);
  std::vector<float> out(ops.width);
  for (size_t n = 0; n <= ops.width; ++n) {
    float* const in = array.at_end(n);
    for (size_t i = 0; i < n; ++i) in[i] = float(i + 1);
    ops.widen(in, out.data(), n);
    for (size_t i = 0; i < ops.width; ++i)
      EXPECT(bits_of(out[i]) == bits_of(i < n ? float(i + 1) : 0.f), "lane %zu of %zu loaded is %g", i, n,
             out[i]);
  }
}

void first_lanes(const VecOps& ops) {
  std::vector<float> in(ops.width), out(ops.width);
  for (size_t round = 0; round < std::size(kSpecials); ++round) {
    for (size_t i = 0; i < ops.width; ++i) in[i] = from_bits(kSpecials[(round + i) % std::size(kSpecials)]);
    for (size_t n = 0; n <= ops.width; ++n) {
      ops.first(in.data(), out.data(), n);
      for (size_t i = 0; i < ops.width; ++i) {
        const uint32_t wanted = i < n ? result_bits(in[i]) : 0;
        EXPECT(result_bits(out[i]) == wanted, "lane %zu of the first %zu is %08x, not %08x", i, n,
               bits_of(out[i]), wanted);
      }
    }
  }
}

bool same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

// A lane's sum is what a loop over its elements gives in double, whatever these are.
void sums(const VecOps& ops) {
  Random random(21);
  std::vector<double> plain(ops.width), squares(ops.width);
  for (int round = 0; round < rounds(3000); ++round) {
    const size_t vectors = random.below(20);
    std::vector<float> in(vectors * ops.width);
    for (float& f : in) f = round & 1 ? random.small() : random.any();
    ops.sum(in.data(), vectors, plain.data(), squares.data());
    for (size_t lane = 0; lane < ops.width; ++lane) {
      double p = 0, s = 0;
      for (size_t i = lane; i < in.size(); i += ops.width) {
        p += double(in[i]);
        s += double(in[i]) * double(in[i]);
      }
      EXPECT(same(plain[lane], p), "lane %zu of %zu vectors sums to %a, not %a", lane, vectors, plain[lane],
             p);
      EXPECT(same(squares[lane], s), "lane %zu of %zu squared vectors sums to %a, not %a", lane, vectors,
             squares[lane], s);
    }
  }
}

}  // namespace

void test_vec() {
  for (const fo::Isa* isa : targets()) {
    const std::string prefix = std::string("vec ") + isa->name + ": ";
    const VecOps& ops = ops_of(*isa);
    for (int op = 0; op < kOps; ++op) {
      test(prefix + kNames[op], [&] { arithmetic(ops, op); });
      test(prefix + kNames[op] + ", unaligned", [&] { memory(ops, op, true); });
      test(prefix + kNames[op] + ", partial", [&] { memory(ops, op, false); });
    }
    test(prefix + "a partial load leaves zeros", [&] { widening(ops); });
    test(prefix + "the first lanes", [&] { first_lanes(ops); });
    test(prefix + "running sums", [&] { sums(ops); });
  }
}

}  // namespace fo_test
