// Muon's kernels: CUDA by nvcc, host code for the stand-in by any other compiler (-x c++).
#include "../body/muon_pass.h"
#include "../body/muon_squares.h"
#include "entry.h"

namespace fo::cuda {
namespace {

template <class Body>
const Kernel* kernel(const char* name) {
  static const Kernel* const it = make_kernel<Body>(name);
  return it;
}

bool is_mixed(Flavor flavor) {
  return flavor == Flavor::kMixed || flavor == Flavor::kWide || flavor == Flavor::kBf16;
}

}  // namespace

const Kernel* muon_pack_kernel(Flavor flavor) {
  if (flavor == Flavor::kPlain) return kernel<MuonPack<Plain>>("muon_pack");
  if (is_mixed(flavor)) return kernel<MuonPack<Mixed>>("muon_pack_mixed");
  return flavor == Flavor::kDouble ? kernel<MuonPack<Double>>("muon_pack_double") : nullptr;
}
const Kernel* muon_apply_kernel(Flavor flavor) {
  if (flavor == Flavor::kPlain) return kernel<MuonApply<Plain>>("muon_apply");
  if (is_mixed(flavor)) return kernel<MuonApply<Mixed>>("muon_apply_mixed");
  return flavor == Flavor::kDouble ? kernel<MuonApply<Double>>("muon_apply_double") : nullptr;
}
const Kernel* muon_normalize_kernel() { return kernel<MuonNormalize>("muon_normalize"); }
const Kernel* muon_combine_kernel() { return kernel<MuonCombine>("muon_combine"); }
const Kernel* muon_mirror_kernel() { return kernel<MuonMirror>("muon_mirror"); }
const Kernel* muon_error_kernel() { return kernel<MuonError>("muon_error"); }
const Kernel* muon_report_kernel() { return kernel<MuonReporting>("muon_report"); }

std::vector<const Kernel*> muon_kernels() {
  std::vector<const Kernel*> all = {muon_normalize_kernel(), muon_combine_kernel(), muon_mirror_kernel(),
                                    muon_error_kernel(), muon_report_kernel()};
  for (const Flavor flavor : {Flavor::kPlain, Flavor::kMixed, Flavor::kDouble})
    all.insert(all.end(), {muon_pack_kernel(flavor), muon_apply_kernel(flavor)});
  return all;
}

}  // namespace fo::cuda
