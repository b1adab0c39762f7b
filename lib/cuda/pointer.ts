import { expectedRange } from '../validate';
import { usable } from './device';
import { factsOf, type CudaDType } from './dtypes';

/**
 * Checks that a range is memory of a device and of one allocation, as far as CUDA knows. Returns the device. An empty
 * range has no address to look at: it is on the device that was asked for.
 */
export function checkRange(
  pointer: bigint,
  bytes: number,
  dtype: CudaDType,
  device: number | undefined,
  what: string,
): number {
  const shown = `0x${pointer.toString(16)}`;
  const size = factsOf(dtype).bytes;
  if (pointer % BigInt(size) !== 0n) {
    throw expectedRange(`pointer of ${what}`, `a multiple of ${size} for ${dtype}`, shown);
  }
  if (bytes === 0) return device ?? 0;
  const [kind, found, available] = usable(what).pointerInfo(device ?? 0, pointer);
  if (kind === 'unknown') {
    throw new RangeError(
      `Expected pointer of ${what} to be device memory of this process but CUDA does not know ${shown} ` +
        '(was it freed, or is it of another process?).',
    );
  }
  if (kind === 'host') {
    throw new RangeError(`Expected pointer of ${what} to be device memory but ${shown} is host memory.`);
  }
  // Managed memory moves to whichever device uses it.
  if (kind === 'device' && device !== undefined && found !== device) {
    throw new RangeError(
      `Expected pointer of ${what} to be on device ${device} but ${shown} is on device ${found}.`,
    );
  }
  if (available >= 0 && available < bytes) {
    throw new RangeError(
      `Expected pointer of ${what} to have ${bytes} bytes but its allocation has ${available} from ${shown} on.`,
    );
  }
  return kind === 'device' ? found : (device ?? 0);
}
