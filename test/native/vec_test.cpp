// V and VD against the standard library, bit for bit.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "guarded.h"
#include "targets.h"
#include "vec_ops.h"

extern "C" {
const fo_test::VecTables* fo_vec_ops_scalar();
#if defined(__x86_64__)
const fo_test::VecTables* fo_vec_ops_avx2();
const fo_test::VecTables* fo_vec_ops_avx512();
#endif
}

namespace fo_test {
namespace {

const VecTables& tables_of(const fo::Isa& isa) {
#if defined(__x86_64__)
  if (std::string(isa.name) == "avx2") return *fo_vec_ops_avx2();
  if (std::string(isa.name) == "avx512") return *fo_vec_ops_avx512();
#endif
  EXPECT(std::string(isa.name) == "scalar", "%s has no table of operations in this test", isa.name);
  return *fo_vec_ops_scalar();
}

template <class Real>
Real expected(int op, Real a, [[maybe_unused]] Real b, [[maybe_unused]] Real c) {
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
template <class Real>
class Feeder {
 public:
  Feeder(const VecOps<Real>& ops, int op) : ops_(ops), op_(op), in_(3 * ops.width), out_(ops.width) {}
  void feed(Real a, Real b, Real c) {
    in_[used_] = a, in_[ops_.width + used_] = b, in_[2 * ops_.width + used_] = c;
    if (++used_ == ops_.width) flush();
  }

 private:
  void flush() {
    const Real *a = in_.data(), *b = a + ops_.width, *c = b + ops_.width;
    ops_.full[op_](a, b, c, out_.data());
    for (size_t i = 0; i < used_; ++i) {
      const Real wanted = expected(op_, a[i], b[i], c[i]);
      EXPECT(result_bits(out_[i]) == result_bits(wanted), "%s(%a, %a, %a) gave %a, not %a", kNames[op_],
             double(a[i]), double(b[i]), double(c[i]), double(out_[i]), double(wanted));
    }
    used_ = 0;
  }
  const VecOps<Real>& ops_;
  int op_;
  size_t used_ = 0;
  std::vector<Real> in_, out_;
};

const auto& specials_of(float) { return kSpecials; }
const auto& specials_of(double) { return kDoubleSpecials; }
float number_of(uint32_t bits) { return from_bits(bits); }
double number_of(uint64_t bits) { return double_from_bits(bits); }

template <class Real>
void arithmetic(const VecOps<Real>& ops, int op) {
  Feeder<Real> feeder(ops, op);
  for (auto a : specials_of(Real()))
    for (auto b : specials_of(Real()))
      for (auto c : specials_of(Real())) feeder.feed(number_of(a), number_of(b), number_of(c));
  Random random(uint64_t(op) + 1);
  Real x[3];
  for (int i = 0; i < rounds(100000); ++i) {
    for (Real& number : x) random.any(&number);
    feeder.feed(x[0], x[1], x[2]);
  }
  // Of one magnitude, where products cancel sums and every rounding shows.
  for (int i = 0; i < rounds(100000); ++i) {
    for (Real& number : x) random.small(&number);
    feeder.feed(x[0], x[1], i & 1 ? x[2] : -x[0] * x[1]);
  }
}

// Guarded memory in numbers of any type.
template <class Real>
class Place {
 public:
  static constexpr size_t kFloats = sizeof(Real) / sizeof(float);
  explicit Place(size_t capacity) : array_(capacity * kFloats) {}
  Real* at_end(size_t n) { return reinterpret_cast<Real*>(array_.at_end(n * kFloats)); }
  Real* at_start(size_t n, size_t offset) {
    return reinterpret_cast<Real*>(array_.at_start(n * kFloats, offset * kFloats));
  }
  std::vector<uint32_t> image() const { return array_.image(); }
  size_t start() const { return array_.start(); }

 private:
  Guarded array_;
};

// Every place of the arrays: offsets of one number, and flush with a page that must not be touched.
template <class Real>
void memory(const VecOps<Real>& ops, int op, bool whole) {
  const size_t width = ops.width;
  Place<Real> arrays[4] = {Place<Real>(4 * width), Place<Real>(4 * width), Place<Real>(4 * width),
                           Place<Real>(4 * width)};
  Random random(uint64_t(op) + 100);
  for (size_t n = whole ? width : 0; n <= width; ++n) {
    for (size_t offset = 0; offset <= width + 1; ++offset) {  // the last round: at the end of the pages
      Real* at[4];
      for (int k = 0; k < 4; ++k) {
        at[k] =
            offset > width ? arrays[k].at_end(n) : arrays[k].at_start(n, (offset + size_t(k)) % (width + 1));
        for (size_t i = 0; k < 3 && i < n; ++i) random.any(&at[k][i]);
      }
      auto wanted = arrays[3].image();
      if (whole) {
        ops.full[op](at[0], at[1], at[2], at[3]);
      } else {
        ops.part[op](at[0], at[1], at[2], at[3], n);
      }
      for (size_t i = 0; i < n; ++i) {
        const Real number = expected(op, at[0][i], at[1][i], at[2][i]);
        EXPECT(result_bits(at[3][i]) == result_bits(number),
               "%s of %zu lanes at offset %zu: lane %zu is %a, not %a", kNames[op], n, offset, i,
               double(at[3][i]), double(number));
      }
      const auto after = arrays[3].image();
      const size_t begin = arrays[3].start(), end = begin + n * Place<Real>::kFloats;
      std::copy(after.begin() + std::ptrdiff_t(begin), after.begin() + std::ptrdiff_t(end),
                wanted.begin() + std::ptrdiff_t(begin));
      EXPECT(after == wanted, "%s of %zu lanes at offset %zu wrote beside them", kNames[op], n, offset);
    }
  }
}

template <class Real>
void widening(const VecOps<Real>& ops) {
  Place<Real> array(ops.width);
  std::vector<Real> out(ops.width);
  for (size_t n = 0; n <= ops.width; ++n) {
    Real* const in = array.at_end(n);
    for (size_t i = 0; i < n; ++i) in[i] = Real(i + 1);
    ops.widen(in, out.data(), n);
    for (size_t i = 0; i < ops.width; ++i)
      EXPECT(bits_of(out[i]) == bits_of(i < n ? Real(i + 1) : Real(0)), "lane %zu of %zu loaded is %g", i, n,
             double(out[i]));
  }
}

template <class Real>
void first_lanes(const VecOps<Real>& ops) {
  const auto& specials = specials_of(Real());
  std::vector<Real> in(ops.width), out(ops.width);
  for (size_t round = 0; round < std::size(specials); ++round) {
    for (size_t i = 0; i < ops.width; ++i) in[i] = number_of(specials[(round + i) % std::size(specials)]);
    for (size_t n = 0; n <= ops.width; ++n) {
      ops.first(in.data(), out.data(), n);
      for (size_t i = 0; i < ops.width; ++i) {
        const Real wanted = i < n ? in[i] : Real(0);
        EXPECT(result_bits(out[i]) == result_bits(wanted), "lane %zu of the first %zu is %a, not %a", i, n,
               double(out[i]), double(wanted));
      }
    }
  }
}

// A lane's sum is what a loop over its elements gives in double, whatever these are: squares of floats are
// exact there, those of doubles are added unrounded.
template <class Real>
void sums(const VecOps<Real>& ops) {
  Random random(21);
  std::vector<double> plain(ops.width), squares(ops.width);
  for (int round = 0; round < rounds(3000); ++round) {
    const size_t vectors = random.below(20);
    std::vector<Real> in(vectors * ops.width);
    for (Real& x : in) round & 1 ? random.small(&x) : random.any(&x);
    ops.sum(in.data(), vectors, plain.data(), squares.data());
    for (size_t lane = 0; lane < ops.width; ++lane) {
      double p = 0, s = 0;
      for (size_t i = lane; i < in.size(); i += ops.width) {
        p += double(in[i]);
        s = std::fma(double(in[i]), double(in[i]), s);
      }
      EXPECT(result_bits(plain[lane]) == result_bits(p), "lane %zu of %zu vectors sums to %a, not %a", lane,
             vectors, plain[lane], p);
      EXPECT(result_bits(squares[lane]) == result_bits(s),
             "lane %zu of %zu squared vectors sums to %a, not %a", lane, vectors, squares[lane], s);
    }
  }
}

template <class Real>
void test_ops(const std::string& prefix, const VecOps<Real>& ops) {
  for (int op = 0; op < kOps; ++op) {
    test(prefix + kNames[op], [&] { arithmetic(ops, op); });
    test(prefix + kNames[op] + ", unaligned", [&] { memory(ops, op, true); });
    test(prefix + kNames[op] + ", partial", [&] { memory(ops, op, false); });
  }
  test(prefix + "a partial load leaves zeros", [&] { widening(ops); });
  test(prefix + "the first lanes", [&] { first_lanes(ops); });
  test(prefix + "running sums", [&] { sums(ops); });
}

}  // namespace

void test_vec() {
  for (const fo::Isa* isa : targets()) {
    const std::string prefix = std::string("vec ") + isa->name;
    test_ops(prefix + ": ", tables_of(*isa).floats);
    test_ops(prefix + " of double: ", tables_of(*isa).doubles);
  }
}

}  // namespace fo_test
