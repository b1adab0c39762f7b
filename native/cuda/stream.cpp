#include "stream.h"

#include "reclaimer.h"

namespace fo::cuda {

Stream::Stream(Device& device) : device(device), handle(device.create_stream()), own_(true) {
  Reclaimer::of(device).enter(handle);
}

Stream::Stream(Device& device, StreamHandle callers) : device(device), handle(callers), own_(false) {
  Reclaimer::of(device).enter(handle);
}

Stream::~Stream() {
  Reclaimer::of(device).leave(handle);
  if (own_) device.destroy_stream(handle);
}

}  // namespace fo::cuda
