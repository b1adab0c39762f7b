import { nativeCuda } from '../native';
import { from, fromDLPack, fromPointer, tensor } from './make';
import type { CudaDevice } from './native';
import { makeEvent, makeStream, synchronize } from './stream';

/** Whether there is a GPU that can be used; `cuda.reason` says why not. Never throws. */
function isAvailable(): boolean {
  return reason() === '';
}

/** The GPUs that this process sees; none where `isAvailable()` is false. */
function devices(): readonly CudaDevice[] {
  const { addon, reason: why } = nativeCuda();
  return addon && !why ? addon.presence().devices : [];
}

function reason(): string {
  return nativeCuda().reason;
}

/** Memory, streams and events of CUDA devices. */
export const cuda = Object.freeze({
  isAvailable,
  /** Why CUDA cannot be used: what was tried. Empty where it can. */
  get reason(): string {
    return reason();
  },
  devices,
  tensor,
  from,
  fromPointer,
  fromDLPack,
  /** Makes a stream, or takes the handle of someone else's. */
  stream: makeStream,
  /** Makes an event. */
  event: makeEvent,
  synchronize,
});
