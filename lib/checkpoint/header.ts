/**
 * The header of a safetensors file: its length in 8 bytes, little-endian, and a JSON object with one entry a tensor.
 * Format: https://github.com/huggingface/safetensors
 */
import { describe } from '../validate';
import { elementBytes, elementsOf, isDType, type SafetensorsDType } from './dtypes';

/** The longest header, in bytes, that is read or written; the reference implementation has the same limit. */
export const maxHeaderBytes = 100_000_000;
export const prefixBytes = 8;

export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

/** Where a tensor lies, in bytes from the end of the header. */
export interface Placed extends TensorInfo {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their data. */
  readonly tensors: readonly Placed[];
}

const metadataKey = '__metadata__';

/** The first bytes of a file. Throws when the header would be longer than any reader takes. */
export function encodeHeader({ metadata, tensors }: Header): Buffer {
  // Written as text: a tensor may have any name, and in an object "__proto__" and "1" are not like others.
  const entry = (name: string, value: unknown): string => `${JSON.stringify(name)}:${JSON.stringify(value)}`;
  const entries = tensors.map(({ name, dtype, shape, begin, end }) =>
    entry(name, { dtype, shape, data_offsets: [begin, end] }),
  );
  const json = Buffer.from(`{${[entry(metadataKey, metadata), ...entries].join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8; // so that the data begins at a multiple of 8
  if (length > maxHeaderBytes) {
    throw new RangeError(
      `Expected names and metadata to take at most ${maxHeaderBytes} bytes of a safetensors file but they take ${length}.`,
    );
  }
  const bytes = Buffer.alloc(prefixBytes + length, ' ');
  bytes.writeBigUInt64LE(BigInt(length));
  json.copy(bytes, prefixBytes);
  return bytes;
}

/** Gives each tensor its place, widest elements first, so that all are aligned. */
export function place<T extends TensorInfo & { readonly name: string }>(
  tensors: readonly T[],
): (T & Placed)[] {
  let end = 0;
  return [...tensors]
    .sort((a, b) => elementBytes(b.dtype) - elementBytes(a.dtype))
    .map((tensor) => {
      const begin = end;
      end += elementsOf(tensor.shape) * elementBytes(tensor.dtype);
      return { ...tensor, begin, end };
    });
}

/** Throws an error whose sentence ends with the given reason. */
export type Refuse = (reason: string) => never;

/** Reads the length of the header from the first 8 bytes of a file of the given size. */
export function headerLength(prefix: Buffer, fileBytes: number, refuse: Refuse): number {
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(maxHeaderBytes))
    return refuse(`its header would be ${length} bytes long; the limit is ${maxHeaderBytes}`);
  if (Number(length) > fileBytes - prefixBytes)
    return refuse(`it is cut short: the header would be ${length} bytes long, the file has ${fileBytes}`);
  return Number(length);
}

/** Reads a header and checks all of it, against the number of bytes that follow it too. */
export function parseHeader(bytes: Uint8Array, dataBytes: number, refuse: Refuse): Header {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse('its header is not UTF-8');
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    return refuse('its header is not JSON');
  }
  if (!text.startsWith('{') || !isObject(header)) return refuse('its header is not a JSON object');
  let keys = 0;
  let metadata: Record<string, string> = {};
  const tensors: Placed[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (!isObject(entry)) return refuse(`${describe(name)} in its header is not an object`);
    keys += 1 + Object.keys(entry).length;
    if (name === metadataKey) metadata = checkMetadata(entry, refuse);
    else tensors.push(checkTensor(name, entry, refuse));
  }
  if (keys !== countKeys(text)) return refuse('its header has a name twice');
  return { metadata, tensors: inOrder(tensors, dataBytes, refuse) };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names of all objects in valid JSON, repeated ones too: JSON.parse keeps the last of those and says nothing. */
function countKeys(text: string): number {
  let count = 0;
  for (let i = text.indexOf('"'); i >= 0; i = text.indexOf('"', i)) {
    for (++i; text[i] !== '"'; ++i) if (text[i] === '\\') ++i;
    for (++i; text[i] === ' ' || text[i] === '\n' || text[i] === '\r' || text[i] === '\t';) ++i;
    if (text[i] === ':') ++count;
  }
  return count;
}

function checkMetadata(entry: Readonly<Record<string, unknown>>, refuse: Refuse): Record<string, string> {
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') return refuse(`${describe(key)} in its metadata is not a string`);
  }
  return entry as Record<string, string>;
}

/** Lists of numbers as they are; others may be of any depth and length. */
const shown = (value: unknown): string =>
  Array.isArray(value) && !value.every((entry) => typeof entry === 'number') ? 'an array' : describe(value);

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function checkTensor(name: string, entry: Readonly<Record<string, unknown>>, refuse: Refuse): Placed {
  const what = `tensor ${describe(name)}`;
  const { dtype, shape, data_offsets: offsets, ...rest } = entry;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) return refuse(`${what} has the unknown field ${describe(unknown)}`);
  if (!isDType(dtype)) return refuse(`${what} has the unknown dtype ${describe(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isSize))
    return refuse(`${what} has the shape ${shown(shape)}, which is not an array of integers >= 0`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    return refuse(`${what} has the offsets ${shown(offsets)}, which are not two integers >= 0`);
  const bytes = elementsOf(shape) * elementBytes(dtype);
  if (!isSize(bytes)) return refuse(`${what} has the shape [${shape.join(', ')}], which is too large`);
  const [begin, end] = offsets as [number, number];
  if (end - begin !== bytes)
    return refuse(`${what} has ${end - begin} bytes where ${dtype} [${shape.join(', ')}] takes ${bytes}`);
  return { name, dtype, shape, begin, end };
}

/** The data must be covered by the tensors once, without holes: anything else hides or shares bytes. */
function inOrder(tensors: readonly Placed[], dataBytes: number, refuse: Refuse): Placed[] {
  const sorted = [...tensors].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of sorted) {
    if (begin !== covered) {
      const how = begin < covered ? 'overlaps the one before' : 'leaves a hole before it';
      return refuse(`tensor ${describe(name)} ${how}: it begins at byte ${begin}, expected ${covered}`);
    }
    covered = end;
  }
  if (covered > dataBytes)
    return refuse(`it is cut short: its tensors take ${covered} bytes and ${dataBytes} are there`);
  if (covered < dataBytes) return refuse(`it has ${dataBytes - covered} bytes after its last tensor`);
  return sorted;
}
