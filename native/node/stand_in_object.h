#pragma once
// What tests set and ask of the stand-in for a GPU: in the host build only, exported as standIn.
#include <napi.h>

namespace fo {

// { counters(), resetCounters(), fail(plan), seed(number), hold(boolean), setMemory(device, bytes),
//   allocateManaged(device, bytes), freeManaged(device, pointer), revive(), keepComplaints(boolean),
//   takeComplaints(), allocatePinned(bytes), createStream(device), destroyStream(device, handle),
//   launch(handle): a kernel that does nothing, or faults as planned,
//   capsule(facts), external(), givenBack() }
Napi::Object StandInObject(Napi::Env);

void AddCapsules(Napi::Object to);

}  // namespace fo
