/** State dicts as safetensors files: which tensor has which name, and what stands in the metadata. */
import fs from 'node:fs';
import path from 'node:path';
import type { StateDict } from '../state-dict';
import { describe, expectedType } from '../validate';
import { dtypeOf, elementsOf, stateDtypeOf } from './dtypes';
import type { SafetensorsDType, TensorArray } from './dtypes';
import type { Placed, Refuse, TensorInfo } from './header';
import { fromPlain, toPlain } from './json';
import { readSafetensors, readSafetensorsHeader, refusal, writeSafetensors } from './safetensors';
import type { SafeTensor } from './safetensors';

/** The metadata's form. A file with another number is refused. */
const schema = 1;

/** Metadata that is the file's own; every other name is a field of the state dict, as JSON. */
const own = ['format', 'schema', 'library'];

function libraryVersion(): string {
  const manifest = path.join(__dirname, '..', '..', 'package.json');
  return (JSON.parse(fs.readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** `expAvgSq` under torch's name: `exp_avg_sq`. */
const torchName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Unicode has no bytes for half a surrogate pair; the name itself stands in the metadata, escaped. */
const wellFormed = (text: string): string => Buffer.from(text).toString();

/** A state as long as its parameter has its shape; everything else is a list. */
function shapeOf(dict: unknown, at: readonly string[], length: number): readonly number[] {
  if (at.length !== 3 || at[0] !== 'state') return [length];
  const { state } = dict as StateDict;
  const shape = Object.hasOwn(state, at[1]!) ? (state[at[1]!]?.shape as unknown) : undefined;
  return Array.isArray(shape) && elementsOf(shape) === length ? [...(shape as number[])] : [length];
}

/** What an array's elements are in the file, by where in the dict it stands. */
function dtypeAt(at: readonly string[], data: unknown): SafetensorsDType | undefined {
  return at.length === 3 && at[0] === 'state' ? stateDtypeOf(at[2]!, data) : dtypeOf(data);
}

/** Writes a state dict; its arrays are borrowed until the promise resolves. */
export async function writeStateDict(file: string, dict: StateDict): Promise<void> {
  const tensors = new Map<string, SafeTensor>();
  const store = (data: ArrayBufferView, at: readonly string[]): string => {
    const dtype = dtypeAt(at, data);
    if (!dtype) throw expectedType(`${at.join('.')} of the state dict`, 'numbers', data);
    const names = at[0] === 'state' ? at.slice(1) : at;
    const name = wellFormed([...names.slice(0, -1), torchName(names.at(-1)!)].join('.'));
    let key = name;
    for (let i = 2; tensors.has(key); ++i) key = `${name}#${i}`;
    const array = data as TensorArray;
    tensors.set(key, { dtype, shape: shapeOf(dict, at, array.length), data: array });
    return key;
  };
  const fields = Object.entries(dict).map(([name, value]) => {
    if (own.includes(name)) throw new RangeError(`Expected no field "${name}" in the state dict.`);
    return [name, JSON.stringify(toPlain(value, [name], store))] as const;
  });
  const metadata = { format: 'fused-optim', schema: String(schema), library: libraryVersion() };
  await writeSafetensors(file, tensors, { ...metadata, ...Object.fromEntries<string>(fields) });
}

/** Rebuilds a dict from metadata; `load` gives the array, or what stands for it, under each key. */
function decode(
  metadata: Readonly<Record<string, string>>,
  load: (key: string) => unknown,
  refuse: Refuse,
): Readonly<Record<string, unknown>> {
  if (metadata.format !== 'fused-optim') return refuse('its metadata is not that of one');
  if (metadata.schema !== String(schema)) {
    const newer = Number(metadata.schema) > schema;
    const hint = newer ? ': a newer version of fused-optim wrote it' : '';
    return refuse(`it has the schema ${describe(metadata.schema)}, expected "${schema}"${hint}`);
  }
  const fields = Object.entries(metadata).filter(([name]) => !own.includes(name));
  return Object.fromEntries(
    fields.map(([name, text]) => {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        return refuse(`${describe(name)} in its metadata is not JSON`);
      }
      return [name, fromPlain(value, load, refuse)];
    }),
  );
}

/** The metadata must name every tensor of the file once. */
function takeEachOnce<T>(
  tensors: Iterable<readonly [string, T]>,
  refuse: Refuse,
): { readonly take: (key: string) => T; readonly checkEmpty: () => void } {
  const all = new Map(tensors);
  const left = new Set(all.keys());
  return {
    take: (key) => {
      if (!left.delete(key)) refuse(`${describe(key)} is ${all.has(key) ? 'used twice' : 'not'} in it`);
      return all.get(key)!;
    },
    checkEmpty: () => {
      for (const key of left) refuse(`its metadata does not say what ${describe(key)} is`);
    },
  };
}

/** Reads a state dict that `writeStateDict` wrote; an optimizer's `loadStateDict` checks what is in it. */
export async function readStateDict(file: string): Promise<StateDict> {
  const { tensors, metadata } = await readSafetensors(file);
  const refuse = refusal(file, 'a checkpoint of fused-optim');
  const left = takeEachOnce(tensors, refuse);
  const load = (key: string): TensorArray => {
    const tensor = left.take(key);
    if (tensor.dtype !== 'BF16' && dtypeOf(tensor.data) !== tensor.dtype)
      return refuse(`${describe(key)} has the dtype ${tensor.dtype}, which states do not have`);
    return tensor.data;
  };
  const dict = decode(metadata, load, refuse);
  left.checkEmpty();
  checkPlaces(dict, tensors, refuse);
  return dict as unknown as StateDict;
}

/** Not an array: a large one has as many entries as elements. */
function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
}

/**
 * Checks what an array alone would not tell: that the order of a state's sizes is that of its parameter, and that
 * bfloat16 stands where states do.
 */
function checkPlaces(
  dict: Readonly<Record<string, unknown>>,
  tensors: ReadonlyMap<string, SafeTensor & TensorInfo>,
  refuse: Refuse,
): void {
  const { state, formats } = dict;
  const byArray = new Map([...tensors].map(([key, tensor]) => [tensor.data, { key, ...tensor }]));
  // That state is no object, loadStateDict will say.
  for (const [name, entry] of isObject(state) ? Object.entries(state) : []) {
    for (const [field, value] of isObject(entry) ? Object.entries(entry) : []) {
      const tensor = byArray.get(value as TensorArray);
      if (!tensor) continue;
      byArray.delete(tensor.data);
      const isPlain = !isObject(formats) || !Object.hasOwn(formats, name);
      if (tensor.dtype === 'BF16' && isPlain)
        refuse(`${describe(tensor.key)} has the dtype BF16, which states do not have`);
      const dtype = stateDtypeOf(field, tensor.data);
      if (tensor.dtype !== dtype)
        refuse(`${describe(tensor.key)} has the dtype ${tensor.dtype}, expected ${dtype}`);
      const expected = shapeOf(dict, ['state', name, field], (value as TensorArray).length);
      const [given, wanted] = [tensor.shape, expected].map((shape) => `[${shape.join(', ')}]`);
      if (given !== wanted) refuse(`${describe(tensor.key)} has the shape ${given}, expected ${wanted}`);
    }
  }
  for (const { key, dtype } of byArray.values())
    if (dtype === 'BF16') refuse(`${describe(key)} has the dtype BF16, which states do not have`);
}

/** What a checkpoint says of itself. */
export interface CheckpointInfo {
  /** Version of the library that wrote it. */
  readonly library: string;
  /** The optimizer's class. */
  readonly algorithm: string;
  /** Steps the optimizer had taken. */
  readonly step: number;
  /** Every group's options, and its parameters by name. */
  readonly paramGroups: StateDict['paramGroups'];
  /** The tensors in the file, by their names there. */
  readonly tensors: Readonly<Record<string, TensorInfo & { readonly bytes: number }>>;
}

/** What stands for an array when only the header is read. */
export class TensorReference {
  constructor(readonly tensor: Placed) {}
}

/** A checkpoint but for its numbers: what it says of itself, and its state dict with references where arrays would be. */
export async function readCheckpointHeader(file: string): Promise<{
  readonly info: CheckpointInfo;
  readonly fields: Readonly<Record<string, unknown>>;
}> {
  const { tensors, metadata } = await readSafetensorsHeader(file);
  const refuse = refusal(file, 'a checkpoint of fused-optim');
  const left = takeEachOnce(
    tensors.map((tensor) => [tensor.name, new TensorReference(tensor)]),
    refuse,
  );
  const fields = decode(metadata, left.take, refuse);
  left.checkEmpty();
  const { algorithm, step, state, paramGroups } = fields;
  if (typeof algorithm !== 'string' || typeof step !== 'number' || !Array.isArray(paramGroups))
    return refuse('its metadata lacks the class, the step or the groups');
  if (!isObject(state) || Array.isArray(state)) return refuse('its metadata lacks the states');
  const info = {
    library: metadata.library ?? '',
    algorithm,
    step,
    paramGroups: paramGroups as unknown as StateDict['paramGroups'],
    tensors: Object.fromEntries(
      tensors.map(({ name, dtype, shape, begin, end }) => [name, { dtype, shape, bytes: end - begin }]),
    ),
  };
  return { info, fields };
}

/**
 * Reads what a checkpoint holds without reading its tensors.
 *
 * @throws the errors of {@link Optimizer.load} about the file itself
 */
export async function readCheckpointInfo(file: string): Promise<CheckpointInfo> {
  return (await readCheckpointHeader(file)).info;
}
