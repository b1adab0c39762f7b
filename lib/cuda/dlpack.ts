import { usable } from './device';
import { factsOf, type CudaDType } from './dtypes';
import type { NativeMemory } from './native';
import { streamFor, type CudaStream } from './stream';
import { readOptions } from '../validate';

export interface DLPackOptions {
  /** A stream of the memory's new user, which is made to wait for what is queued; else this process waits. */
  readonly stream?: CudaStream | undefined;
}

export function exportDLPack(
  memory: NativeMemory,
  tensor: { readonly shape: readonly number[]; readonly dtype: CudaDType; readonly device: number },
  options: DLPackOptions | undefined,
): object {
  const what = 'toDLPack()';
  const { stream } = readOptions(options, ['stream'], what);
  const { device, shape, dtype } = tensor;
  const addon = usable(what);
  if (stream === undefined) addon.synchronize(device);
  else addon.join(device, streamFor(stream, device, what));
  return addon.exportDLPack(memory, shape, factsOf(dtype).code);
}
