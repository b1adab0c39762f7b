import { nativeCuda } from '../native';
import { expectedRange, expectedType } from '../validate';
import type { NativeCuda } from './native';

/** The addon where CUDA can be used; an error that says why not elsewhere. `what` was asked for. */
export function usable(what: string): NativeCuda {
  const { addon, reason } = nativeCuda();
  if (addon && !reason) return addon;
  throw new Error(`Expected CUDA to be available for ${what} but ${reason.replace(/\.?$/, '.')}`);
}

/** The index of a device that there is; 0 when none is named. */
export function deviceIndex(device: unknown, what: string): number {
  const { devices } = usable(what).presence();
  const indices = devices.map(({ index }) => index);
  const expected = indices.length === 1 ? 'device 0, the only one,' : `one of ${indices.join(', ')}`;
  if (device === undefined) return 0;
  if (typeof device !== 'number') throw expectedType(`device of ${what}`, expected, device);
  if (!indices.includes(device)) throw expectedRange(`device of ${what}`, expected, device);
  return device;
}
