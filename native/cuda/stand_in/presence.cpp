// What the stand-in says of itself: cuda/device.h's functions.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "device.h"

namespace fo::cuda {

namespace {

// Two of them, whatever presence() lists.
Device& stand_in_device(int index) {
  static Device* const devices[stand_in::kDevices] = {new stand_in::StandIn(0), new stand_in::StandIn(1)};
  return *devices[index];
}

}  // namespace

const Presence& presence() {
  static const Presence* const found = [] {
    auto* presence = new Presence;
    const char* asked = std::getenv("FUSED_OPTIM_STAND_IN_DEVICES");
    const int devices =
        asked && *asked ? std::clamp(std::atoi(asked), 0, stand_in::kDevices) : stand_in::kDevices;
    presence->runtime = "13.0";
    if (devices == 0) {
      presence->reason = "no NVIDIA driver is installed (FUSED_OPTIM_STAND_IN_DEVICES is 0)";
      return presence;
    }
    presence->driver = "13.0";
    for (int i = 0; i < devices; ++i) presence->devices.push_back(stand_in_device(i).properties());
    return presence;
  }();
  return *found;
}

const CublasPresence& cublas_presence() {
  static const CublasPresence* const found = [] {
    const char* asked = std::getenv("FUSED_OPTIM_STAND_IN_CUBLAS");
    if (asked && std::strcmp(asked, "off") == 0)
      return new CublasPresence{
          false, "", "no cuBLAS could be loaded; tried: nothing (FUSED_OPTIM_STAND_IN_CUBLAS is off)", 0};
    return new CublasPresence{true, "the stand-in's own", "", 130000};
  }();
  return *found;
}

Device& device(int index) {
  const Presence& found = presence();
  if (index >= 0 && index < int(found.devices.size())) return stand_in_device(index);
  throw Fault("cudaSetDevice", 101, "cudaErrorInvalidDevice",
              found.reason.empty() ? "there is no GPU " + std::to_string(index) + "; there are " +
                                         std::to_string(found.devices.size()) + "."
                                   : found.reason);
}

}  // namespace fo::cuda
