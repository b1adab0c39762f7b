#pragma once
// What tests set and ask of the stand-in for a GPU: in the host build only, exported as standIn.
#include <napi.h>

namespace fo {

// { counters(), resetCounters(), fail(plan), seed(number), hold(boolean), setMemory(device, bytes),
//   allocateManaged(device, bytes), freeManaged(device, pointer), revive() }
Napi::Object StandInObject(Napi::Env);

}  // namespace fo
