#include "../body/start.h"
#include "entry.h"

namespace fo::cuda {

const Kernel* start_kernel() {
  static const Kernel* const kernel = make_kernel<Start>("start");
  return kernel;
}

}  // namespace fo::cuda
