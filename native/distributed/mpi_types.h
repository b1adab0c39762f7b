#pragma once
// MPI's datatypes and operations for what communicators move and reduce.
#include <mpi.h>

#include <cstddef>

#include "agreement.h"

namespace fo {

MPI_Datatype datatype_of(Element element);

// After MPI_Init. MPI's own sums; user operations for 16-bit floats, and for maxima, where a NaN stays one.
class MpiOperations {
 public:
  // An error code of MPI.
  int create();
  MPI_Op of(Element element, Reduction op) const;

 private:
  MPI_Op sums_[kElements] = {}, maxima_[kElements] = {};
};

// What the mean does after the sum: a true division, rounded once.
void divide(void* data, size_t length, Element element, int by);

}  // namespace fo
