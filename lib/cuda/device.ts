import { nativeCuda } from '../native';
import { expectedRange, expectedType, onlyKnown } from '../validate';
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

/** An options object with known keys, or nothing. */
export function readOptions<T extends object>(
  options: T | undefined,
  known: readonly (keyof T & string)[],
  what: string,
): Partial<T> {
  if (options === undefined) return {};
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw expectedType(`options of ${what}`, 'an object', options);
  }
  onlyKnown(options, known, what);
  return options;
}
