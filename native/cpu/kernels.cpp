// The loop over one tensor. Compiled once per instruction set: -DFO_ISA=scalar|avx2|avx512 picks the vector
// type V. Everything here has internal linkage but the table at the end: a weak symbol compiled with AVX-512
// could be the copy a linker keeps for all (scripts/check-symbols.js).
#define FO_STRING_(x) #x
#define FO_STRING(x) FO_STRING_(x)
#define FO_JOIN_(a, b) a##b
#define FO_JOIN(a, b) FO_JOIN_(a, b)
// The formatter would put blanks into the path.
// clang-format off
#include FO_STRING(../vec/FO_ISA.h)
// clang-format on
#include "../core/dtypes.h"
#include "../core/kernel.h"
#include "../rules/rules.h"

namespace {

using FO_ISA::V;

template <class P, class G, class S>
struct Row {
  using Param = P;
  using Grad = G;
  using State = S;
};

// One vector's worth of a tensor: everything the rule reads and writes at some position.
template <class Rule, class Row, int M>
struct Lanes {
  static constexpr int kStates = Rule::kStates;
  static constexpr bool used(int k) { return Rule::uses(M) >> k & 1; }

  // The tensor's streams, from its first element on.
  struct Streams {
    typename Row::Param* p;
    const typename Row::Grad* g;
    typename Row::State* s[kStates + 1];
  };

  V p, g, s[kStates + 1];

  template <class... Count>
  FO_FN void load(Lanes& x, const Streams& t, size_t i, Count... n) {
    x.p = V::load(t.p + i, n...);
    x.g = V::load(t.g + i, n...);
    for (int k = 0; k < kStates; ++k)
      if (used(k)) x.s[k] = V::load(t.s[k] + i, n...);
  }
  FO_FN void update(Lanes& x, V scale, const typename Rule::Coef& c) {
    Rule::template update<M>(x.p, scale * x.g, x.s, c);
  }
  template <class... Count>
  FO_FN void store(const Streams& t, size_t i, const Lanes& x, Count... n) {
    for (int k = 0; k < kStates; ++k)
      if (used(k)) V::store(t.s[k] + i, x.s[k], n...);
    V::store(t.p + i, x.p, n...);
  }
};

template <class Rule, class Row, int M>
void run(const fo::TensorArgs& tensor, size_t begin, size_t count, float grad_scale, const void* coef) {
  using L = Lanes<Rule, Row, M>;
  // Copies, not references: a float store could alias them, and every coefficient would be reloaded in the
  // loop.
  const typename Rule::Coef c = *static_cast<const typename Rule::Coef*>(coef);
  const V scale(grad_scale);
  typename L::Streams t;
  t.p = static_cast<typename Row::Param*>(tensor.param) + begin;
  t.g = static_cast<const typename Row::Grad*>(tensor.grad) + begin;
  for (int k = 0; k < Rule::kStates; ++k)
    if (L::used(k)) t.s[k] = static_cast<typename Row::State*>(tensor.states[k]) + begin;

  L x;
  if (count < V::N) {
    L::load(x, t, 0, count);
    L::update(x, scale, c);
    L::store(t, 0, x, count);
    return;
  }
  size_t i = 0;
  for (; i + 2 * V::N <= count; i += V::N) {
    L::load(x, t, i);
    L::update(x, scale, c);
    L::store(t, i, x);
  }
  // What is left is one vector, or two that overlap. Both are loaded before either is stored, so the elements
  // they share get the same result twice: cheaper than masked stores, and no second form of the arithmetic.
  L last;
  L::load(x, t, i);
  L::load(last, t, count - V::N);
  L::update(x, scale, c);
  L::update(last, scale, c);
  L::store(t, i, x);
  L::store(t, count - V::N, last);
}

template <class Rule, class Row, int M>
constexpr fo::Kernel kernel() {
  if constexpr (M < Rule::kModes) return &run<Rule, Row, M>;
  return nullptr;
}

#define FO_ENTRY(Rule, name) \
  {{kernel<Rule, Row, 0>(), kernel<Rule, Row, 1>(), kernel<Rule, Row, 2>(), kernel<Rule, Row, 3>()}},
template <class Row>
constexpr fo::RuleKernels kRules[] = {FO_RULES(FO_ENTRY)};

#define FO_ROW(name, P, G, S) kRules<Row<P, G, S>>,
constexpr const fo::RuleKernels* kRows[] = {FO_DTYPE_ROWS(FO_ROW)};

}  // namespace

// Indexed by dtype row, then by rule.
extern "C" const fo::RuleKernels* const* FO_JOIN(fo_kernels_, FO_ISA)() { return kRows; }
