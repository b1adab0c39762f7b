import { slowName } from './algorithm';
import type { DType } from './dtypes';
import { stateFields, type Format, type StateField } from './formats';
import type { Identity, Parameter } from './parameter';
import type { StateView } from './placement';

/** A parameter that joins an optimizer. */
export interface Joining extends Identity {
  readonly parameter: Parameter;
  readonly group: number;
  readonly format: Format;
  /** Names of the states of its algorithm. */
  readonly states: readonly string[];
}

/**
 * A parameter inside an optimizer. A class, so that all have one hidden class: V8 gives every object that is made by
 * spreading the rest of another one of its own, and a loop over 1,000 of those takes a millisecond and not microseconds.
 */
export class Slot implements Identity {
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
  readonly first: number | undefined;
  readonly dtype: DType;
  readonly bits: DType | undefined;
  readonly parameter: Parameter;
  readonly group: number;
  readonly format: Format;
  /** The arrays its state may have. */
  readonly fields: readonly StateField[];
  /** Of the gradient it has or last had. */
  gradDType: DType;
  /** By field. */
  readonly views: (StateView | undefined)[] = [];

  constructor(
    { name, shape, length, first, dtype, bits, parameter, group, format, states }: Joining,
    readonly index: number,
  ) {
    this.name = name;
    this.shape = shape;
    this.length = length;
    this.first = first;
    this.dtype = dtype;
    this.bits = bits;
    this.parameter = parameter;
    this.group = group;
    this.format = format;
    this.fields = stateFields(states, format, length);
    this.gradDType = dtype;
  }
}

/** The bit of what the rounding of a tensor keeps, as a mask; 0 where it keeps nothing. */
export function extraState({ fields, format: { rounding } }: Slot): number {
  const { name, state } = fields.at(-1)!;
  return rounding !== undefined && name !== slowName ? 1 << state : 0;
}
