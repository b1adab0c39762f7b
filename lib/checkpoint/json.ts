/**
 * Plain data as JSON and back without loss. What JSON cannot say is an object with one name that begins with "$":
 * `{"$value": "NaN"}` a number it has no word for, or undefined; `{"$tensor": key}` a typed array, stored elsewhere;
 * `{"$entries": [[name, value], …]}` an object that has such a name itself.
 */
import { describe, expectedType } from '../validate';

const values: ReadonlyMap<string, number | undefined> = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['-0', -0],
  ['undefined', undefined],
]);

/** Deeper data is refused, before it overflows the stack; a cycle is of infinite depth. */
const maxDepth = 64;

/** Stores an array and returns the key under which it is found again. */
type Store = (array: ArrayBufferView, path: readonly string[]) => string;

const nameOf = (path: readonly string[]): string => `${path.join('.')} of the state dict`;

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null; // Object.prototype of any realm
}

/** What `JSON.stringify` is to be given. Throws a TypeError for anything but plain data. */
export function toPlain(value: unknown, path: readonly string[], store: Store): unknown {
  if (path.length > maxDepth) {
    throw new RangeError(`Expected the state dict to be at most ${maxDepth} levels deep but it is deeper.`);
  }
  if (
    value === undefined ||
    (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
  ) {
    return { $value: Object.is(value, -0) ? '-0' : String(value) };
  }
  if (value === null || ['number', 'string', 'boolean'].includes(typeof value)) return value;
  if (ArrayBuffer.isView(value)) return { $tensor: store(value, path) };
  if (Array.isArray(value)) return value.map((entry, i) => toPlain(entry, [...path, String(i)], store));
  if (typeof value !== 'object' || !isPlain(value)) throw expectedType(nameOf(path), 'plain data', value);
  const entries = Object.entries(value).map(([key, entry]) => [key, toPlain(entry, [...path, key], store)]);
  return entries.some(([key]) => (key as string).startsWith('$'))
    ? { $entries: entries }
    : Object.fromEntries(entries);
}

/** The data that `toPlain` was given. `load` finds an array by its key; `refuse` throws for what is malformed. */
export function fromPlain(
  value: unknown,
  load: (key: string) => unknown,
  refuse: (reason: string) => never,
  depth = 0,
): unknown {
  if (depth > maxDepth) return refuse(`its metadata is more than ${maxDepth} levels deep`);
  if (typeof value !== 'object' || value === null) return value;
  const inner = (entry: unknown): unknown => fromPlain(entry, load, refuse, depth + 1);
  if (Array.isArray(value)) return value.map(inner);
  const entries = Object.entries(value) as [string, unknown][];
  const marked = entries.find(([key]) => key.startsWith('$'));
  if (!marked) return Object.fromEntries(entries.map(([key, entry]) => [key, inner(entry)]));
  const [mark, held] = marked;
  if (entries.length === 1) {
    if (mark === '$value' && typeof held === 'string' && values.has(held)) return values.get(held);
    if (mark === '$tensor' && typeof held === 'string') return load(held);
    if (mark === '$entries' && Array.isArray(held) && held.every(isEntry))
      return Object.fromEntries(held.map(([key, entry]) => [key, inner(entry)]));
  }
  return refuse(`its metadata has a malformed ${describe(mark)}`);
}

function isEntry(value: unknown): value is [string, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string';
}
