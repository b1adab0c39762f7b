// Every operation of one vector type behind plain functions. Compiled once per instruction set with -DFO_ISA,
// as native/cpu/kernels.cpp is.
#include "vec_ops.h"

#include "../../native/vec/chosen.h"

namespace {

using FO_ISA::first;
using FO_ISA::Sum;
using FO_ISA::V;

#define FO_OP(name, vector, scalar)                                                        \
  FO_FN V eval_##name([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c) {  \
    return V(vector);                                                                      \
  }                                                                                        \
  void full_##name(const float* a, const float* b, const float* c, float* out) {           \
    V::store(out, eval_##name(V::load(a), V::load(b), V::load(c)));                        \
  }                                                                                        \
  void part_##name(const float* a, const float* b, const float* c, float* out, size_t n) { \
    V::store(out, eval_##name(V::load(a, n), V::load(b, n), V::load(c, n)), n);            \
  }
FO_VEC_OPS(FO_OP)

void first_lanes(const float* a, float* out, size_t n) { V::store(out, first(V::load(a), n)); }
void sum(const float* a, size_t vectors, double* plain, double* squares) {
  Sum p, s;
  for (size_t i = 0; i < vectors; ++i) {
    Sum::add(p, V::load(a + i * V::N));
    Sum::add_square(s, V::load(a + i * V::N));
  }
  Sum::store(plain, p);
  Sum::store(squares, s);
}
void widen(const float* a, float* out, size_t n) { V::store(out, V::load(a, n)); }

#define FO_FULL(name, vector, scalar) full_##name,
#define FO_PART(name, vector, scalar) part_##name,
constexpr fo_test::VecOps kTable = {V::N,  {FO_VEC_OPS(FO_FULL)}, {FO_VEC_OPS(FO_PART)},
                                    widen, first_lanes,           sum};

}  // namespace

extern "C" const fo_test::VecOps* FO_JOIN(fo_vec_ops_, FO_ISA)() { return &kTable; }
