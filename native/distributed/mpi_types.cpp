#include "mpi_types.h"

#include <cstdint>
#include <limits>

#include "../vec/convert.h"

namespace fo {
namespace {

// How an element is held, and what it is computed in.
template <class Stored>
struct Plain {
  using Bits = Stored;
  static Stored load(Stored x) { return x; }
  static Stored store(Stored x) { return x; }
};
struct Bfloat16 {
  using Bits = uint16_t;
  static float load(uint16_t x) { return from_bf16(x); }
  static uint16_t store(float x) { return to_bf16(x); }
};
struct Float16 {
  using Bits = uint16_t;
  static float load(uint16_t x) { return from_f16(x); }
  static uint16_t store(float x) { return to_f16(x); }
};

template <class Real>
Real larger(Real a, Real b) {
  if (a != a || b != b) return std::numeric_limits<Real>::quiet_NaN();
  if (a == b) return a + b == 0 ? a + b : a;  // of zeros the positive one, whichever comes first
  return a > b ? a : b;
}

template <class Format>
struct Sum {
  template <class Real>
  static Real of(Real a, Real b) {
    return a + b;
  }
};
template <class Format>
struct Max {
  template <class Real>
  static Real of(Real a, Real b) {
    return larger(a, b);
  }
};

// Signature of MPI_User_function: `into` becomes `from` op `into`.
template <class Format, template <class> class Op>
void reduce(void* from, void* into, int* length, MPI_Datatype*) {
  using Bits = typename Format::Bits;
  const auto* in = static_cast<const Bits*>(from);
  auto* out = static_cast<Bits*>(into);
  for (int i = 0, n = *length; i < n; ++i)
    out[i] = Format::store(Op<Format>::of(Format::load(in[i]), Format::load(out[i])));
}

template <class Format>
void divide_all(void* data, size_t length, int by) {
  auto* values = static_cast<typename Format::Bits*>(data);
  for (size_t i = 0; i < length; ++i) {
    const auto value = Format::load(values[i]);
    values[i] = Format::store(value / decltype(value)(by));
  }
}

}  // namespace

MPI_Datatype datatype_of(Element element) {
  switch (element) {
    case Element::kFloat32:
      return MPI_FLOAT;
    case Element::kFloat64:
      return MPI_DOUBLE;
    case Element::kBfloat16:
    case Element::kFloat16:
    case Element::kUint16:
      return MPI_UINT16_T;
    default:
      return MPI_BYTE;
  }
}

int MpiOperations::create() {
  sums_[0] = sums_[1] = MPI_SUM;
  const auto make = [](MPI_User_function* function, MPI_Op* op) { return MPI_Op_create(function, 1, op); };
  for (int status :
       {make(reduce<Bfloat16, Sum>, &sums_[2]), make(reduce<Float16, Sum>, &sums_[3]),
        make(reduce<Plain<float>, Max>, &maxima_[0]), make(reduce<Plain<double>, Max>, &maxima_[1]),
        make(reduce<Bfloat16, Max>, &maxima_[2]), make(reduce<Float16, Max>, &maxima_[3])})
    if (status != MPI_SUCCESS) return status;
  return MPI_SUCCESS;
}

MPI_Op MpiOperations::of(Element element, Reduction op) const {
  return (op == Reduction::kMax ? maxima_ : sums_)[size_t(element)];
}

void divide(void* data, size_t length, Element element, int by) {
  switch (element) {
    case Element::kFloat32:
      return divide_all<Plain<float>>(data, length, by);
    case Element::kFloat64:
      return divide_all<Plain<double>>(data, length, by);
    case Element::kBfloat16:
      return divide_all<Bfloat16>(data, length, by);
    case Element::kFloat16:
      return divide_all<Float16>(data, length, by);
    default:
      return;
  }
}

}  // namespace fo
