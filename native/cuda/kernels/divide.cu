#include "../body/divide.h"
#include "entry.h"

namespace fo::cuda {

const Kernel* divide_kernel(DType type) {
  static const Kernel* const single = make_kernel<Divide<float>>("divide");
  static const Kernel* const twofold = make_kernel<Divide<double>>("divide, float64");
  return type == DType::kF64 ? twofold : single;
}

}  // namespace fo::cuda
