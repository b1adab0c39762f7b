/** What of an ONNX graph fits together, and sentences about what does not. */
import { kindOf, type HostArray } from '../dtypes';
import { describe, expectedType } from '../validate';
import type { OrtMetadata, OrtSession } from './onnxruntime';

export const dtypes = {
  float32: { create: (length: number) => new Float32Array(length), kinds: ['Float32Array'] },
  float64: { create: (length: number) => new Float64Array(length), kinds: ['Float64Array'] },
  float16: { create: (length: number) => new Uint16Array(length), kinds: ['Uint16Array', 'Float16Array'] },
} as const;
export type Kind = keyof typeof dtypes;

export const list = (names: readonly string[]): string =>
  names.map((name) => `"${name}"`).join(', ') || 'none';
export const elements = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

/** The shape of an input or output that has to be fixed. */
export function fixedShape({ name, shape }: OrtMetadata, what: string): readonly number[] {
  if (!shape) throw new TypeError(`Expected ${what} "${name}" of the graph to be a tensor but it is none.`);
  const open = shape.find((size) => typeof size !== 'number' || size < 0);
  if (open === undefined) return shape as readonly number[];
  throw new TypeError(
    `Expected ${what} "${name}" of the graph to have a fixed shape but received [${shape.join(', ')}].`,
  );
}

export function checkType({ name, type = 'unknown' }: OrtMetadata, what: string): Kind {
  if (Object.hasOwn(dtypes, type)) return type as Kind;
  throw new TypeError(
    `Expected ${what} "${name}" of the graph to be float32, float64 or float16 but it is ${type}.`,
  );
}

export function listOf(session: OrtSession, key: 'inputMetadata' | 'outputMetadata'): readonly OrtMetadata[] {
  const found: unknown = session[key];
  if (Array.isArray(found)) return found as OrtMetadata[];
  throw expectedType(`${key} of the session`, 'a list (onnxruntime-node has it from 1.22 on)', found);
}

export function checkGradient(
  output: OrtMetadata,
  name: string,
  dtype: Kind,
  shape: readonly number[],
): void {
  const { type = 'unknown', shape: own = [] } = output;
  if (type !== dtype)
    throw new TypeError(
      `Expected output "${output.name}" of the graph to be ${dtype}, as "${name}" is, but it is ${type}.`,
    );
  if (own.join() === shape.join()) return;
  throw new RangeError(
    `Expected output "${output.name}" of the graph to have shape [${shape.join(', ')}], as "${name}" has, but received ` +
      `[${own.join(', ')}].`,
  );
}

export function checkArray(data: HostArray, name: string, dtype: Kind, shape: readonly number[]): void {
  const kinds: readonly string[] = dtypes[dtype].kinds;
  if (!kinds.includes(kindOf(data) ?? ''))
    throw new TypeError(
      `Expected weights."${name}" to be a ${kinds.join(' or ')} but received ${describe(data)}.`,
    );
  if (data.length === elements(shape)) return;
  throw new RangeError(
    `Expected weights."${name}" to have ${elements(shape)} elements for shape [${shape.join(', ')}] but received ` +
      `${data.length}.`,
  );
}

/** Bits instead of numbers, where an array holds float16. */
export const asBits = (data: HostArray): HostArray =>
  kindOf(data) === 'Float16Array' ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;

/** The one number of a loss; a Uint16Array holds the bits of a float16. */
export function numberOf(data: unknown): number {
  const value = (data as ArrayLike<number>)[0]!;
  if (kindOf(data) !== 'Uint16Array') return value;
  const exponent = (value >> 10) & 31;
  const fraction = value & 1023;
  const sign = value & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
