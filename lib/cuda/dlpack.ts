import util from 'node:util';
import { describe, expectedType } from '../validate';
import { readOptions, usable } from './device';
import { factsOf, type CudaDType } from './dtypes';
import type { NativeDLPack, NativeMemory } from './native';
import { streamFor, type CudaStream } from './stream';

export interface DLPackOptions {
  /** A stream of the memory's new user, which is made to wait for what is queued; else this process waits. */
  readonly stream?: CudaStream | undefined;
}

/** Whatever brings its memory as DLPack. */
export interface HasDLPack {
  toDLPack(): object;
}

const deviceTypes: Readonly<Record<number, string>> = { 1: 'CPU', 2: 'CUDA', 3: 'CUDA-pinned', 13: 'CUDA' };

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

function dtypeOf({ code, bits, lanes }: NativeDLPack): CudaDType | undefined {
  if (lanes !== 1) return undefined;
  if (code === 2) return ({ 16: 'float16', 32: 'float32', 64: 'float64' } as const)[bits];
  if (code === 4 && bits === 16) return 'bfloat16';
  return code === 1 && bits === 8 ? 'uint8' : undefined;
}

/** A capsule that was read and can be taken. */
export interface Capsule extends Pick<NativeDLPack, 'shape' | 'device' | 'pointer'> {
  readonly external: unknown;
  readonly dtype: CudaDType;
}

/** Reads a capsule, or that of an object that makes one, and refuses what a CUDA tensor cannot be. */
export function readCapsule(value: unknown, what: string): Capsule {
  const expected = 'a DLPack capsule (an External of a DLManagedTensor) or an object with toDLPack()';
  let external = value;
  if (typeof value === 'object' && value !== null && !util.types.isExternal(value)) {
    const { toDLPack } = value as Partial<HasDLPack>;
    if (typeof toDLPack !== 'function') throw expectedType(`the argument of ${what}`, expected, value);
    external = toDLPack.call(value);
  }
  const read = util.types.isExternal(external) ? usable(what).readDLPack(external) : undefined;
  if (!read) throw expectedType(`the argument of ${what}`, expected, external);
  if (read.taken) {
    throw new TypeError(
      `Expected the capsule of ${what} to hold memory but it has been taken: a capsule can be used once.`,
    );
  }
  const type = deviceTypes[read.deviceType];
  if (type !== 'CUDA') {
    throw new TypeError(
      `Expected the capsule of ${what} to be of CUDA memory but it is of ${type ?? `DLPack device type ${read.deviceType}`}.`,
    );
  }
  const dtype = dtypeOf(read);
  if (!dtype) {
    const { code, bits, lanes } = read;
    throw new TypeError(
      `Expected the capsule of ${what} to be float32, float64, bfloat16, float16 or uint8 ` +
        `but its DLPack type has code ${code}, ${bits} bits and ${lanes} lane${lanes === 1 ? '' : 's'}.`,
    );
  }
  if (read.readOnly)
    throw new TypeError(`Expected the capsule of ${what} to be writable but it is read-only.`);
  if (!read.compact || read.shape.some((size) => !Number.isSafeInteger(size) || size < 0)) {
    throw new TypeError(
      `Expected the capsule of ${what} to be compact and row-major but its strides are not (shape ${describe(read.shape)}).`,
    );
  }
  return { external, dtype, shape: read.shape, device: read.device, pointer: read.pointer };
}
