/** Whole safetensors files: tensors by name, and strings about them. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import os from 'node:os';
import { describe, expectedRange, expectedType } from '../validate';
import { allocate, dtypeNames, dtypeOf, elementBytes, elementsOf, holds, isDType } from './dtypes';
import type { SafetensorsDType, TensorArray } from './dtypes';
import { checkPath, inWords, readAll, refuseOtherKinds, replaceFile, writeAll } from './files';
import { encodeHeader, headerLength, parseHeader, place, prefixBytes } from './header';
import type { Header, Refuse, TensorInfo } from './header';

/** A tensor as a file has it. */
export interface SafeTensor {
  /** Needed for writing only where the array cannot tell, as for BF16. @default that of the array */
  readonly dtype?: SafetensorsDType | undefined;
  /** Row-major. */
  readonly shape: readonly number[];
  /** F16 and BF16 are the bits of a `Uint16Array`, F8 and BOOL those of a `Uint8Array`. */
  readonly data: TensorArray;
}

/** What a safetensors file holds. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, SafeTensor & TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The numbers of a file are little-endian; they are read and written as they lie in memory. */
function checkByteOrder(): void {
  if (os.endianness() !== 'LE') throw new Error('Checkpoints need a little-endian processor.');
}

function checked(
  name: string,
  { dtype, shape, data }: SafeTensor,
): SafeTensor & TensorInfo & { readonly name: string } {
  if (name === '__metadata__')
    throw new RangeError('Expected another name for a tensor than "__metadata__", which the format keeps.');
  if (dtype !== undefined && !isDType(dtype))
    throw expectedType(`dtype of "${name}"`, `one of ${dtypeNames}`, dtype);
  const type = dtype ?? dtypeOf(data);
  if (!type) throw expectedType(`data of "${name}"`, 'a typed array', data);
  if (!holds(type, data)) throw expectedType(`data of "${name}"`, `an array of ${type} elements`, data);
  if (
    !Array.isArray(shape) ||
    !(shape as readonly number[]).every((size) => Number.isSafeInteger(size) && size >= 0)
  )
    throw expectedType(`shape of "${name}"`, 'an array of integers >= 0', shape);
  const sizes = [...(shape as readonly number[])];
  if (elementsOf(sizes) !== data.length)
    throw expectedRange(`shape of "${name}"`, `one of ${data.length} elements`, `[${sizes.join(', ')}]`);
  return { name, dtype: type, shape: sizes, data };
}

/**
 * Writes tensors to a safetensors file. The file is replaced whole or not at all: it is written beside its place,
 * flushed to the disk and renamed. The arrays are borrowed: do not change them until the promise resolves.
 *
 * @param metadata strings about the file as a whole
 * @throws when the tensors cannot be written so, before the disk is touched; or with the operating system's reason
 */
export async function writeSafetensors(
  file: string,
  tensors: Readonly<Record<string, SafeTensor>> | ReadonlyMap<string, SafeTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  checkPath(file);
  checkByteOrder();
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const placed = place(entries.map(([name, tensor]) => checked(name as string, tensor as SafeTensor)));
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw expectedType(`${describe(key)} of the metadata`, 'a string', value);
  }
  const header = encodeHeader({ metadata, tensors: placed });
  await replaceFile(file, async (handle) => {
    await writeAll(handle, header);
    for (const { data } of placed) await writeAll(handle, data);
  });
}

/** Throws the one sentence a file is refused with. */
export function refusal(file: string, kind = 'a safetensors file'): Refuse {
  return (reason) => {
    throw new RangeError(`Expected "${file}" to be ${kind} but ${reason}.`);
  };
}

async function opened<T>(file: string, use: (handle: FileHandle, bytes: number) => Promise<T>): Promise<T> {
  checkPath(file);
  checkByteOrder();
  return inWords('read', file, async () => {
    refuseOtherKinds(file, await stat(file)); // before it is opened: opening a pipe waits for a writer
    const handle = await open(file, 'r');
    try {
      return await use(handle, (await handle.stat()).size);
    } finally {
      await handle.close();
    }
  });
}

async function readHeader(
  handle: FileHandle,
  fileBytes: number,
  refuse: Refuse,
): Promise<Header & { readonly start: number }> {
  if (fileBytes < prefixBytes) return refuse(`it is cut short: it has ${fileBytes} bytes`);
  const prefix = Buffer.alloc(prefixBytes);
  await readAll(handle, prefix, 0);
  const bytes = new Uint8Array(headerLength(prefix, fileBytes, refuse));
  await readAll(handle, bytes, prefixBytes);
  const start = prefixBytes + bytes.length;
  return { ...parseHeader(bytes, fileBytes - start, refuse), start };
}

/** Reads names, shapes and metadata of a safetensors file, and checks them; not the tensors. */
export function readSafetensorsHeader(file: string): Promise<Header> {
  return opened(file, (handle, bytes) => readHeader(handle, bytes, refusal(file)));
}

/**
 * Reads a safetensors file: its header first, which is checked whole, then one tensor after another.
 *
 * @throws RangeError in one sentence when the file is cut short, or its header is malformed, longer than 100 MB,
 *   or does not describe the bytes that follow it exactly
 */
export function readSafetensors(file: string): Promise<Safetensors> {
  return opened(file, async (handle, bytes) => {
    const refuse = refusal(file);
    const { metadata, tensors, start } = await readHeader(handle, bytes, refuse);
    const result = new Map<string, SafeTensor & TensorInfo>();
    for (const { name, dtype, shape, begin, end } of tensors) {
      const data = allocated(dtype, (end - begin) / elementBytes(dtype), name);
      if ((await readAll(handle, data, start + begin)) < end - begin)
        refuse('it became shorter while it was read');
      result.set(name, { dtype, shape, data });
    }
    return { tensors: result, metadata };
  });
}

function allocated(dtype: SafetensorsDType, length: number, name: string): TensorArray {
  try {
    return allocate(dtype, length);
  } catch (cause) {
    const bytes = length * elementBytes(dtype);
    throw new RangeError(`Expected ${bytes} bytes of memory for "${name}" but could not allocate them.`, {
      cause,
    });
  }
}
