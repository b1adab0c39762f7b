/** How each tensor of an optimizer is stored: what its options ask for, where that is supported. */
import { slowName, type Algorithm } from './algorithm';
import {
  either,
  roundings,
  stateDTypes,
  supportOf,
  unsupported,
  type DType,
  type Rounding,
  type StateArray,
  type StateDType,
  type StoredDType,
} from './dtypes';
import { isEmbeddingName } from './names';
import { native } from './native';
import { checkChoice } from './options';
import { sizeOf, type Identity, type Parameter } from './parameter';

/** How one tensor is stored. */
export interface Format {
  readonly dtype: DType;
  readonly states: StoredDType;
  /** Of 16-bit parameters. */
  readonly rounding?: Rounding;
}

/** Tensors of fewer elements have no 8-bit states: they would save nothing that matters. As bitsandbytes and torchao. */
export const least8bit = 4096;
/** Elements that share a scale. */
export const elementsOfScale = 256;
/** Where the scales begin, after the codes. */
const align = 64;

/** For the sentence that refuses 8-bit states; the registry decides, and a test compares the two. */
export const with8bit: readonly string[] = ['Adam', 'AdamW', 'AMSGrad', 'NAdam', 'RAdam', 'Lion', 'Muon'];

/** Of 16-bit parameters, unless an option says otherwise. */
export const defaultRounding: Rounding = 'master';

/** What the options of an optimizer say of formats. */
export class Formats {
  readonly #rounding: Rounding;
  readonly #states: StateDType;

  constructor(
    private readonly className: string,
    algorithms: readonly Algorithm[],
    options: { readonly rounding?: Rounding | undefined; readonly stateDtype?: StateDType | undefined },
  ) {
    const { rounding = defaultRounding, stateDtype = 'float32' } = options;
    this.#rounding = checkChoice(rounding, roundings, `rounding of ${className}`);
    this.#states = checkChoice(stateDtype, stateDTypes, `stateDtype of ${className}`);
    if (this.#states !== '8bit' || algorithms.some(({ blocks8 }) => blocks8)) return;
    throw new TypeError(
      `Expected stateDtype of ${className} to be "float32" or "bfloat16" but received "8bit", which only ` +
        `${with8bit.slice(0, -1).join(', ')} and the AdamW part of ${with8bit.at(-1)} have.`,
    );
  }

  /** The format of a tensor of that algorithm; throws when there are no kernels for it. */
  of({ role }: Parameter, { name, shape, dtype }: Identity, algorithm: Algorithm): Format {
    const { className } = this;
    const where = (option: string): string => `${option} of ${className} for "${name}"`;
    if (algorithm.dtypes && !algorithm.dtypes.includes(dtype)) {
      throw new TypeError(
        `Expected "${name}" to be ${either(algorithm.dtypes)} in ${className} but received ${dtype}.`,
      );
    }
    const support = supportOf(dtype);
    if (dtype === 'float64') {
      if (this.#states === 'float32') return { dtype, states: 'float64' };
      throw unsupported(where('stateDtype'), 'left out', `"${this.#states}"`, dtype);
    }
    const isEmbedding = role === undefined ? isEmbeddingName(name) : role === 'embedding';
    const fits8bit = algorithm.blocks8 && !isEmbedding && sizeOf(shape) >= least8bit;
    const states = this.#states === '8bit' && !fits8bit ? 'float32' : this.#states;
    if (support.roundings.length === 0) return { dtype, states };
    const rounding = this.#rounding;
    if (support.roundings.includes(rounding)) return { dtype, states, rounding };
    const list = either(support.roundings.map((word) => `"${word}"`));
    throw unsupported(where('rounding'), list, `"${rounding}"`, dtype);
  }
}

/** The number native code has for a dtype. */
export const dtypeCode = (dtype: StoredDType): number => native().addon.dtypes.indexOf(dtype);

/** Parameter, state, rounding. */
export type NativeFormat = readonly [param: number, state: number, rounding: number];

export const nativeFormat = ({ dtype, states, rounding = 'nearest' }: Format): NativeFormat => [
  dtypeCode(dtype),
  dtypeCode(states),
  native().addon.roundings.indexOf(rounding),
];

/** What stochastic rounding knows a tensor by, whatever its place among others: FNV-1a of its name. */
export function keyOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; ++i) {
    const unit = name.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >> 8), 0x01000193);
  }
  return hash >>> 0;
}

/** What a field's array is made of. */
export type FieldKind = 'float32' | 'float64' | 'bfloat16' | 'bits' | 'codes';

/** One array that users see of a tensor's state. */
export interface StateField {
  readonly name: string;
  /** Number of the state it is part of, in native code's order. */
  readonly state: number;
  readonly kind: FieldKind;
  readonly byteOffset: number;
  readonly length: number;
}

/** What that state of a rounding is made of. */
const extraKinds: Readonly<Partial<Record<Rounding, FieldKind>>> = {
  master: 'float32',
  kahan: 'bfloat16',
  split: 'bits',
};

/** All arrays that the state of a tensor may have: the rule's, the slow weights, and what its rounding keeps. */
export function stateFields(names: readonly string[], format: Format, length: number): StateField[] {
  const { dtype, states, rounding } = format;
  const fields = names.flatMap((name, state): StateField[] => {
    if (states !== '8bit') return [{ name, state, kind: states as FieldKind, byteOffset: 0, length }];
    const scales = Math.ceil(length / align) * align;
    return [
      { name, state, kind: 'codes', byteOffset: 0, length },
      {
        name: `${name}Scale`,
        state,
        kind: 'float32',
        byteOffset: scales,
        length: Math.ceil(length / elementsOfScale),
      },
    ];
  });
  const slow = dtype === 'float64' ? 'float64' : 'float32';
  fields.push({ name: slowName, state: names.length, kind: slow, byteOffset: 0, length });
  const extra = rounding && native().addon.extraStates[rounding];
  const kind = rounding && extraKinds[rounding];
  if (extra !== undefined && kind)
    fields.push({ name: extra, state: names.length + 1, kind, byteOffset: 0, length });
  return fields;
}

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  bfloat16: Uint16Array,
  bits: Uint16Array,
  codes: Uint8Array,
} as const;

/** The kind of a field's array: `Float32Array`. */
export const arrayName = ({ kind }: StateField): string => constructors[kind].name;

export const fieldBytes = ({ kind, length }: StateField): number =>
  constructors[kind].BYTES_PER_ELEMENT * length;

export const fieldView = ({ kind, byteOffset, length }: StateField, buffer: ArrayBuffer): StateArray =>
  new constructors[kind](buffer, byteOffset, length);

/** A format as state dicts record it; undefined for float32 throughout, which is what a tensor without record is. */
export const recordOf = (format: Format): Format | undefined =>
  format.dtype === 'float32' && format.states === 'float32' ? undefined : { ...format };

/** A recorded format in words; `undefined` where it is none. */
export function formatText(record: unknown): string | undefined {
  if (record === undefined) return formatText({ dtype: 'float32', states: 'float32' });
  if (typeof record !== 'object' || record === null) return undefined;
  const { dtype, states, rounding } = record as Readonly<Record<string, unknown>>;
  if (typeof dtype !== 'string' || typeof states !== 'string') return undefined;
  const kept = typeof rounding === 'string' ? ` and rounding ${rounding}` : '';
  return `${dtype} with ${states} states${kept}`;
}
