/** Every combination of dtypes that is supported, written out once more for the tests. */
import { native } from '../../lib/native';
import type { CommonOptions, DType, Rounding, StateDType } from 'fused-optim';
import type { Registered } from './registry';

export interface Combination {
  readonly dtype: DType;
  readonly grad: DType;
  readonly stateDtype: StateDType;
  readonly rounding: Rounding | undefined;
}

const states = ['float32', 'bfloat16', '8bit'] as const;
const table: readonly (readonly [
  DType,
  readonly DType[],
  readonly StateDType[],
  readonly (Rounding | undefined)[],
])[] = [
  ['float32', ['float32', 'bfloat16', 'float16'], states, [undefined]],
  ['float64', ['float64'], ['float32'], [undefined]],
  ['bfloat16', ['bfloat16', 'float32'], states, ['master', 'stochastic', 'kahan', 'split', 'nearest']],
  ['float16', ['float16', 'float32'], states, ['master', 'nearest']],
];

export const combinations: readonly Combination[] = table.flatMap(([dtype, grads, stateDtypes, roundings]) =>
  grads.flatMap((grad) =>
    stateDtypes.flatMap((stateDtype) => roundings.map((rounding) => ({ dtype, grad, stateDtype, rounding }))),
  ),
);

export const has8bit = ({ rules }: Pick<Registered, 'rules'>): boolean =>
  rules.some((rule) => native().addon.rules[rule]!.blocks8);

/** Those that an optimizer supports. */
export const combinationsOf = (entry: Pick<Registered, 'rules'>): readonly Combination[] =>
  combinations.filter(({ stateDtype }) => stateDtype !== '8bit' || has8bit(entry));

/** What a parameter says of its Uint16Arrays. */
export const saysDtype = ({ dtype, grad }: Combination): DType =>
  dtype === 'float32' && grad !== 'float32' ? grad : dtype;

export const formatOptions = ({ stateDtype, rounding }: Combination): CommonOptions => ({
  stateDtype,
  ...(rounding && { rounding }),
});

export const text = ({ dtype, grad, stateDtype, rounding }: Combination): string =>
  `${dtype} with ${grad} gradients, ${stateDtype} states${rounding ? `, rounding ${rounding}` : ''}`;
