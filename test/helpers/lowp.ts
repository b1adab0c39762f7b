/**
 * What is stored in fewer bits than float32, written out one number at a time: the tests' own definitions, which the
 * golden casts check.
 */
import type { DType, HostArray } from 'fused-optim';

// Looked up once: in the world of a test every use of a global name is slow.
const { imul, fround, abs, floor, log2, max } = Math;
const { isFinite, isNaN } = Number;

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

export function wordOf(x: number): number {
  float[0] = x;
  return word[0]!;
}
export function floatOf(bits: number): number {
  word[0] = bits;
  return float[0]!;
}

export const fromBf16 = (half: number): number => floatOf(half << 16);
/** To nearest, ties to even. */
export function toBf16(x: number): number {
  const bits = wordOf(x);
  if (isNaN(x)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromF16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
/** To nearest, ties to even. */
export function toF16(x: number): number {
  const sign = Object.is(x, -0) || x < 0 ? 0x8000 : 0;
  if (isNaN(x)) return 0x7e00;
  const size = abs(x);
  if (size >= 65520) return sign | 0x7c00;
  const unit = 2 ** max(-24, floor(log2(size || 2 ** -30)) - 10);
  // The logarithm may be off by one step near a power of two; then there are 2048 units, or fewer than 1024.
  let units = size / unit;
  let rounded = floor(units);
  units -= rounded;
  if (units > 0.5 || (units === 0.5 && rounded % 2 === 1)) ++rounded;
  return sign | (unit === 2 ** -24 ? rounded : ((log2(unit) + 25) << 10) + (rounded - 1024));
}

/** Numbers as they would be stored; a float16 or bfloat16 in its bits. */
export function store(values: Float32Array | Float64Array, dtype: DType): HostArray {
  if (dtype === 'float32') return Float32Array.from(values);
  if (dtype === 'float64') return Float64Array.from(values);
  const result = new Uint16Array(values.length);
  const encode = dtype === 'bfloat16' ? toBf16 : toF16;
  values.forEach((value, i) => (result[i] = encode(value)));
  return result;
}

const stored = new WeakMap<object, Map<DType, HostArray>>();

/** The same, computed once for each array of numbers; for arrays that nobody writes. */
export function storeOnce(values: Float32Array, dtype: DType): HostArray {
  const known = stored.get(values) ?? new Map<DType, HostArray>();
  stored.set(values, known);
  const array = known.get(dtype) ?? store(values, dtype);
  known.set(dtype, array);
  return array;
}

/** What an array stores, in float32. */
export function load(array: ArrayLike<number>, dtype: DType): Float32Array {
  const decode = dtype === 'bfloat16' ? fromBf16 : dtype === 'float16' ? fromF16 : fround;
  const result = new Float32Array(array.length);
  for (let i = 0; i < result.length; ++i) result[i] = decode(array[i]!);
  return result;
}

/** FNV-1a over the bytes of UTF-16. */
export function nameKey(name: string): number {
  let hash = 2166136261;
  for (let i = 0; i < name.length; ++i)
    for (const byte of [name.charCodeAt(i) & 255, name.charCodeAt(i) >> 8])
      hash = imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

/** 32 random bits for an element of a tensor's step. */
export function randomBits(seed: number, tensor: number, step: number, index: number): number {
  let key = imul(seed, 0x9e3779b1) ^ tensor;
  key = imul(key ^ (key >>> 16), 0x85ebca6b) ^ step;
  key = imul(key ^ (key >>> 13), 0xc2b2ae35);
  key ^= key >>> 16;
  let k = (imul(index, 0x9e3779b1) + key) | 0;
  k = imul(k ^ (k >>> 16), 0x85ebca6b);
  k = imul(k ^ (k >>> 13), 0xc2b2ae35);
  return (k ^ (k >>> 16)) >>> 0;
}

/** Up with the probability of the part that is cut off. */
export const toBf16ByChance = (x: number, random: number): number =>
  isFinite(x) ? ((wordOf(x) + (random & 0xffff)) >>> 16) & 0xffff : toBf16(x);

/** A parameter that became `next`, with what rounding lost before: the new parameter and the new rest, in bfloat16. */
export function addKahan(p: number, next: number, rest: number): readonly [param: number, rest: number] {
  const change = fround(next - p);
  const owed = fround(fromBf16(rest) + change);
  const sum = toBf16(isFinite(change) ? fround(p + owed) : next);
  const left = fround(owed + fround(p - fromBf16(sum)));
  return [sum, isFinite(left) ? toBf16(left) : 0];
}

/** The upper half of a float32, rounded, and the lower half. */
export function split(x: number): readonly [high: number, low: number] {
  const bits = isNaN(x) ? 0x7fc00000 : wordOf(x);
  return [((bits + 0x8000) >>> 16) & 0xffff, bits & 0xffff];
}
export const join = (high: number, low: number): number => floatOf((high << 16) + ((low << 16) >> 16));

interface Map8 {
  readonly values: Float64Array;
  readonly bounds: Float32Array;
}

/** The dynamic map of Dettmers et al., 2022: seven decades, each with twice the codes of the one below. */
function map8(signed: boolean): Map8 {
  const positive: number[] = [];
  [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1].forEach((scale, decade) => {
    const codes = (signed ? 1 : 2) * 2 ** decade;
    for (let k = 0; k < codes; ++k) positive.push(scale * (0.1 + (0.9 * (k + 0.5)) / codes));
  });
  positive.push(1);
  const negative = signed ? [...positive.slice(0, 127)].reverse().map((value) => -value) : [];
  const values = Float64Array.from([...negative, 0, ...positive]);
  const bounds = Float32Array.from({ length: 255 }, (_, k) => (values[k]! + values[k + 1]!) / 2);
  if (!signed) bounds[0] = 0;
  return { values, bounds };
}
const maps = { signed: map8(true), unsigned: map8(false) };
export const mapValues = (signed: boolean): Float64Array => maps[signed ? 'signed' : 'unsigned'].values;

/** Codes, and the largest magnitude of each block of 256. */
export function encode8(values: Float32Array, signed: boolean): { codes: Uint8Array; scales: Float32Array } {
  const { bounds } = maps[signed ? 'signed' : 'unsigned'];
  const scales = Float32Array.from({ length: Math.ceil(values.length / 256) }, (_, block) =>
    values
      .subarray(block * 256, block * 256 + 256)
      .reduce((most, value) => (isFinite(value) ? max(most, abs(value)) : most), 0),
  );
  const codes = new Uint8Array(values.length);
  values.forEach((value, i) => {
    const scale = scales[i >> 8]!;
    let fraction = scale > 0 ? fround(value / scale) : 0;
    if (isNaN(fraction)) fraction = 0;
    let [low, high] = [0, 255];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bounds[middle]! < fraction) low = middle + 1;
      else high = middle;
    }
    codes[i] = low;
  });
  return { codes, scales };
}

export function decode8(codes: Uint8Array, scales: Float32Array, signed: boolean): Float32Array {
  const { values } = maps[signed ? 'signed' : 'unsigned'];
  return Float32Array.from(codes, (code, i) => fround(fround(values[code]!) * scales[i >> 8]!));
}
