// Every operation of the vector types behind plain functions. Compiled once per instruction set with
// -DFO_ISA, as native/cpu/kernels.cpp is.
#include "vec_ops.h"

#include "../../native/vec/chosen.h"

namespace {

using FO_ISA::first;

template <class V, class Sum>
struct Ops {
  using Real = typename V::Real;

#define FO_OP(name, vector, scalar)                                                           \
  FO_FN V eval_##name([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c) {     \
    return V(vector);                                                                         \
  }                                                                                           \
  static void full_##name(const Real* a, const Real* b, const Real* c, Real* out) {           \
    V::store(out, eval_##name(V::load(a), V::load(b), V::load(c)));                           \
  }                                                                                           \
  static void part_##name(const Real* a, const Real* b, const Real* c, Real* out, size_t n) { \
    V::store(out, eval_##name(V::load(a, n), V::load(b, n), V::load(c, n)), n);               \
  }
  FO_VEC_OPS(FO_OP)

  static void first_lanes(const Real* a, Real* out, size_t n) { V::store(out, first(V::load(a), n)); }
  static void sum(const Real* a, size_t vectors, double* plain, double* squares) {
    Sum p, s;
    for (size_t i = 0; i < vectors; ++i) {
      Sum::add(p, V::load(a + i * V::N));
      Sum::add_square(s, V::load(a + i * V::N));
    }
    Sum::store(plain, p);
    Sum::store(squares, s);
  }
  static void widen(const Real* a, Real* out, size_t n) { V::store(out, V::load(a, n)); }

#define FO_FULL(name, vector, scalar) full_##name,
#define FO_PART(name, vector, scalar) part_##name,
  static constexpr fo_test::VecOps<Real> table() {
    return {V::N, {FO_VEC_OPS(FO_FULL)}, {FO_VEC_OPS(FO_PART)}, widen, first_lanes, sum};
  }
};

constexpr fo_test::VecTables kTables = {Ops<FO_ISA::V, FO_ISA::Sum>::table(),
                                        Ops<FO_ISA::VD, FO_ISA::SumD>::table()};

}  // namespace

extern "C" const fo_test::VecTables* FO_JOIN(fo_vec_ops_, FO_ISA)() { return &kTables; }
