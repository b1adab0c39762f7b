// Muon's kernels: CUDA by nvcc, host code for the stand-in by any other compiler (-x c++).
#include "../body/muon_pass.h"
#include "../body/muon_squares.h"
#include "entry.h"

namespace fo::cuda {
namespace {

// 8-bit states have no Muon.
template <template <class> class Body>
const Kernel* of_flavor(const std::string& name, Flavor flavor) {
  static const Kernel* const all[] = {make_kernel<Body<Plain>>(name),
                                      make_kernel<Body<Mixed>>(name + "_mixed"),
                                      make_kernel<Body<Double>>(name + "_double")};
  return flavor == Flavor::kBlocks8 ? nullptr : all[int(flavor)];
}

}  // namespace

const Kernel* muon_pack_kernel(Flavor flavor) { return of_flavor<MuonPack>("muon_pack", flavor); }
const Kernel* muon_apply_kernel(Flavor flavor) { return of_flavor<MuonApply>("muon_apply", flavor); }

#define FO_MUON_KERNEL(name, Body)                                    \
  const Kernel* muon_##name##_kernel() {                              \
    static const Kernel* const it = make_kernel<Body>("muon_" #name); \
    return it;                                                        \
  }
FO_MUON_KERNEL(normalize, MuonNormalize)
FO_MUON_KERNEL(combine, MuonCombine)
FO_MUON_KERNEL(mirror, MuonMirror)
FO_MUON_KERNEL(error, MuonError)
FO_MUON_KERNEL(report, MuonReporting)

std::vector<const Kernel*> muon_kernels() {
  std::vector<const Kernel*> all = {muon_normalize_kernel(), muon_combine_kernel(), muon_mirror_kernel(),
                                    muon_error_kernel(), muon_report_kernel()};
  for (const Flavor flavor : {Flavor::kPlain, Flavor::kMixed, Flavor::kDouble})
    all.insert(all.end(), {muon_pack_kernel(flavor), muon_apply_kernel(flavor)});
  return all;
}

}  // namespace fo::cuda
