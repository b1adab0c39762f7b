// Kernels that are not of a rule.
#include "../body/gradients.h"
#include "entry.h"

namespace fo::cuda {

const Kernel* squares_kernel(bool doubles) {
  static const Kernel* const kernels[] = {make_kernel<Squares<float>, 2>("squares"),
                                          make_kernel<Squares<double>, 2>("squares, float64")};
  return kernels[doubles];
}

const Kernel* means_kernel(bool doubles) {
  static const Kernel* const kernels[] = {make_kernel<Means<float>>("means"),
                                          make_kernel<Means<double>>("means, float64")};
  return kernels[doubles];
}

const Kernel* advance_kernel() {
  static const Kernel* const kernel = make_kernel<Advance, 1>("advance");
  return kernel;
}

}  // namespace fo::cuda
