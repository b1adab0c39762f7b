// The loop over one tensor. Compiled once per instruction set: -DFO_ISA=scalar|avx2|avx512 picks the vector
// types. Everything here has internal linkage but the table at the end: a weak symbol compiled with AVX-512
// could be the copy a linker keeps for all (scripts/check-symbols.js).
#include "../core/dtypes.h"
#include "../core/kernel.h"
#include "../rules/rules.h"
#include "../vec/chosen.h"

namespace {

using FO_ISA::first;

template <class Vector, class RunningSum>
struct Row {
  using V = Vector;
  using Sum = RunningSum;
  using Real = typename V::Real;  // what is stored and computed in
};

template <class Rule, class Row>
using CoefOf = typename Rule::template Coef<typename Row::Real>;

// A gradient's factors, a vector each.
template <class V>
struct GradFactors {
  using Real = typename V::Real;
  V unscale, clip, shift;
  explicit GradFactors(const fo::GradArgs& g)
      : unscale(Real(g.unscale)), clip(Real(g.clip)), shift(Real(g.shift)) {}
};

// One vector's worth of a tensor: everything the rule reads and writes at some position.
template <class Rule, class Row, int M>
struct Lanes {
  using V = typename Row::V;
  using Real = typename Row::Real;
  static constexpr int kStates = Rule::kStates;
  static constexpr bool used(int k) { return Rule::uses(M) >> k & 1; }
  static constexpr bool written(int k, bool measuring) {
    return used(k) && bool(Rule::measure_writes(M) >> k & 1) == measuring;
  }

  // The tensor's streams, from its first element on.
  struct Streams {
    Real* p;
    const Real* g;
    Real* s[kStates + 1];  // the last are the slow weights, where there are any

    Streams(const fo::TensorArgs& tensor, size_t begin) {
      p = static_cast<Real*>(tensor.param) + begin;
      g = static_cast<const Real*>(tensor.grad) + begin;
      for (int k = 0; k < kStates; ++k)
        if (used(k)) s[k] = static_cast<Real*>(tensor.states[k]) + begin;
    }
  };

  V p, g, s[kStates + 1];

  template <class... Count>
  FO_FN void load(Lanes& x, const Streams& t, size_t i, Count... n) {
    x.p = V::load(t.p + i, n...);
    x.g = V::load(t.g + i, n...);
    for (int k = 0; k < kStates; ++k)
      if (used(k)) x.s[k] = V::load(t.s[k] + i, n...);
  }
  FO_FN V gradient(const Lanes& x, const GradFactors<V>& f) {
    const V g = f.clip * (f.unscale * x.g);
    if constexpr (Rule::kCentralizes) return g - f.shift;
    return g;
  }
  FO_FN void update(Lanes& x, const GradFactors<V>& f, const CoefOf<Rule, Row>& c) {
    Rule::template update<M>(x.p, gradient(x, f), x.s, c);
  }
  template <class... Count>
  FO_FN void store(const Streams& t, size_t i, const Lanes& x, Count... n) {
    store_states(t, i, x, false, n...);
    V::store(t.p + i, x.p, n...);
  }
  template <class... Count>
  FO_FN void store_states(const Streams& t, size_t i, const Lanes& x, bool measuring, Count... n) {
    for (int k = 0; k < kStates; ++k)
      if (written(k, measuring)) V::store(t.s[k] + i, x.s[k], n...);
  }
};

// The pass that every step makes: reads, updates, writes.
template <class Rule, class Row, int M>
void update(const fo::TensorArgs& tensor, size_t begin, size_t count, const fo::GradArgs& grad,
            const void* coef) {
  using V = typename Row::V;
  using L = Lanes<Rule, Row, M>;
  // Copies, not references: a float store could alias them, and every coefficient would be reloaded in the
  // loop.
  const CoefOf<Rule, Row> c = *static_cast<const CoefOf<Rule, Row>*>(coef);
  const GradFactors<V> f(grad);
  const typename L::Streams t(tensor, begin);

  L x;
  if (count < V::N) {
    L::load(x, t, 0, count);
    L::update(x, f, c);
    L::store(t, 0, x, count);
    return;
  }
  size_t i = 0;
  for (; i + 2 * V::N <= count; i += V::N) {
    L::load(x, t, i);
    L::update(x, f, c);
    L::store(t, i, x);
  }
  // What is left is one vector, or two that overlap. Both are loaded before either is stored, so the elements
  // they share get the same result twice: cheaper than masked stores, and no second form of the arithmetic.
  L last;
  L::load(x, t, i);
  L::load(last, t, count - V::N);
  L::update(x, f, c);
  L::update(last, f, c);
  L::store(t, i, x);
  L::store(t, count - V::N, last);
}

// Running sums: as many lanes on every instruction set, however many a vector has.
template <class Row, int kCount>
struct Sums {
  using V = typename Row::V;
  using Sum = typename Row::Sum;
  static constexpr int kParts = fo::kSumLanes / V::N;
  Sum lanes[kCount][kParts];

  // What one vector adds; the lanes beyond n are not part of the tensor.
  struct Part {
    Sums& all;
    int part;
    size_t n;
    FO_FN V valid(const Part& at, V a) { return at.n < V::N ? first(a, at.n) : a; }
    FO_INLINE void square(int k, V a) { Sum::add_square(all.lanes[k][part], valid(*this, a)); }
    FO_INLINE void plain(int k, V a) { Sum::add(all.lanes[k][part], valid(*this, a)); }
  };

  // Adds the lanes up as a tree.
  void finish(double* sums) const {
    for (int k = 0; k < kCount; ++k) {
      double x[fo::kSumLanes];
      for (int part = 0; part < kParts; ++part) Sum::store(x + part * V::N, lanes[k][part]);
      for (size_t width = fo::kSumLanes / 2; width > 0; width /= 2)
        for (size_t i = 0; i < width; ++i) x[i] += x[i + width];
      sums[k] += x[0];
    }
  }

  // Calls f(element, part, n) for every vector; with n < V::N for the last one that is not full.
  template <class F>
  FO_FN void sweep(Sums& sums, size_t count, const F& f) {
    size_t i = 0;
    for (; i + fo::kSumLanes <= count; i += fo::kSumLanes)
      for (int part = 0; part < kParts; ++part) f(i + size_t(part) * V::N, Part{sums, part, V::N});
    for (int part = 0; i < count; ++part, i += V::N)
      f(i, Part{sums, part, count - i < V::N ? count - i : V::N});
  }
};

// The first pass of a rule that needs sums.
template <class Rule, class Row, int M>
void measure(const fo::TensorArgs& tensor, size_t begin, size_t count, const fo::GradArgs& grad,
             const void* coef, double* totals) {
  using V = typename Row::V;
  using L = Lanes<Rule, Row, M>;
  using S = Sums<Row, Rule::kSums>;
  const CoefOf<Rule, Row> c = *static_cast<const CoefOf<Rule, Row>*>(coef);
  const GradFactors<V> f(grad);
  const typename L::Streams t(tensor, begin);
  S sums;
  S::sweep(sums, count, [&](size_t i, typename S::Part part) FO_INLINE {
    L x;
    if (part.n == V::N) {
      L::load(x, t, i);
      Rule::template measure<M>(x.p, L::gradient(x, f), x.s, c, part);
      L::store_states(t, i, x, true);
    } else {
      L::load(x, t, i, part.n);
      Rule::template measure<M>(x.p, L::gradient(x, f), x.s, c, part);
      L::store_states(t, i, x, true, part.n);
    }
  });
  sums.finish(totals);
}

// The update together with what a step may also be asked for.
template <class Rule, class Row, int M>
void observe(const fo::TensorArgs& tensor, size_t begin, size_t count, const fo::GradArgs& grad,
             const void* coef, const fo::Extras& extras) {
  using V = typename Row::V;
  using L = Lanes<Rule, Row, M>;
  using S = Sums<Row, fo::kObservedSums>;
  const CoefOf<Rule, Row> c = *static_cast<const CoefOf<Rule, Row>*>(coef);
  const GradFactors<V> f(grad);
  const typename L::Streams t(tensor, begin);
  const V alpha(typename Row::Real(extras.alpha));
  auto* const slow =
      extras.sync ? static_cast<typename Row::Real*>(tensor.states[Rule::kStates]) + begin : nullptr;
  const bool watch = extras.sums;
  S sums;
  // Calls add(sum, what is squared) for one vector.
  const auto one = [&](size_t i, const auto& add, auto... n) FO_INLINE {
    L x;
    L::load(x, t, i, n...);
    const V before = x.p, unscaled = f.unscale * x.g;
    L::update(x, f, c);
    if (slow) {
      const V old = V::load(slow + i, n...);
      x.p = fma(alpha, x.p - old, old);
      V::store(slow + i, x.p, n...);
    }
    L::store(t, i, x, n...);
    add(fo::kGradSquares, unscaled);
    add(fo::kUpdateSquares, x.p - before);
    add(fo::kParamSquares, before);
  };
  const auto nothing = [](int, V) FO_INLINE {};
  // Some squares are added up in what is computed in before they join a sum in double: converting each float
  // would take longer than the memory.
  constexpr int kParts = S::kParts, kGroup = 8;
  size_t i = 0;
  for (; watch && i + kGroup * fo::kSumLanes <= count; i += kGroup * fo::kSumLanes) {
    V squares[fo::kObservedSums][kParts];
    for (auto& sum : squares)
      for (V& q : sum) q = V(0.f);
    for (size_t g = 0; g < kGroup; ++g) {
      for (size_t part = 0; part < kParts; ++part) {
        one(i + g * fo::kSumLanes + part * V::N,
            [&squares, part](int sum, V a) FO_INLINE { squares[sum][part] = fma(a, a, squares[sum][part]); });
      }
    }
    for (int sum = 0; sum < fo::kObservedSums; ++sum)
      for (int part = 0; part < kParts; ++part) Row::Sum::add(sums.lanes[sum][part], squares[sum][part]);
  }
  S::sweep(sums, count - i, [&](size_t j, typename S::Part part) FO_INLINE {
    const auto add = [&](int sum, V a) FO_INLINE { part.square(sum, a); };
    if (part.n < V::N) {
      watch ? one(i + j, add, part.n) : one(i + j, nothing, part.n);
    } else {
      watch ? one(i + j, add) : one(i + j, nothing);
    }
  });
  if (watch) sums.finish(extras.sums);
}

// The kernels of mode M, or nothing where the rule has no such mode or pass.
template <class Rule, class Row, int M>
constexpr fo::UpdateKernel update_kernel() {
  if constexpr (M < Rule::kModes) return &update<Rule, Row, M>;
  return nullptr;
}
template <class Rule, class Row, int M>
constexpr fo::ObserveKernel observe_kernel() {
  if constexpr (M < Rule::kModes) return &observe<Rule, Row, M>;
  return nullptr;
}
template <class Rule, class Row, int M>
constexpr fo::MeasureKernel measure_kernel() {
  if constexpr (M < Rule::kModes && Rule::kSums > 0) return &measure<Rule, Row, M>;
  return nullptr;
}

#define FO_MODES(pass, Rule) \
  { pass<Rule, Row, 0>(), pass<Rule, Row, 1>(), pass<Rule, Row, 2>(), pass<Rule, Row, 3>() }
#define FO_ENTRY(Rule, name) \
  {FO_MODES(update_kernel, Rule), FO_MODES(observe_kernel, Rule), FO_MODES(measure_kernel, Rule)},
template <class Row>
constexpr fo::RuleKernels kRules[] = {FO_RULES(FO_ENTRY) FO_HELPERS(FO_ENTRY)};

#define FO_ROW(name, V, Sum) kRules<Row<FO_ISA::V, FO_ISA::Sum>>,
constexpr const fo::RuleKernels* kRows[] = {FO_DTYPE_ROWS(FO_ROW)};

}  // namespace

// Indexed by dtype row, then by rule.
extern "C" const fo::RuleKernels* const* FO_JOIN(fo_kernels_, FO_ISA)() { return kRows; }
