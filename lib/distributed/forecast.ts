/**
 * What sharding an optimizer costs and saves, without running it: bytes of state a rank keeps, bytes it sends in a step,
 * work it has. docs/distributed-plan.md has the formulas and their conventions.
 */
import type { DType, HostArray } from '../dtypes';
import { least8bit } from '../formats';
import { Lookahead } from '../lookahead';
import { checkSplit, route } from '../muon/routing';
import { native } from '../native';
import type { Optimizer } from '../optimizer';
import { dimsOf, type Layout, type Parameter, type Role } from '../parameter';
import { leastLoad } from './owners';
import { cutElements, newtonSchulzFlops, partition, type Divisible } from './partition';

/** A tensor without its memory. */
export interface PlanTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role?: Role | undefined;
  readonly layout?: Layout | undefined;
}

export interface ForecastRequest {
  readonly tensors: readonly PlanTensor[];
  /** Makes the optimizer over small stand-ins of the tensors. */
  readonly make: (params: Parameter[]) => Optimizer | Lookahead;
  /** Matrices a parameter is split into, as Muon's option says. @default 1 */
  readonly split?: number | undefined;
  readonly ranks: number;
  /** 1 divides states and updates; 2 reduces each gradient to its owner alone. */
  readonly stage: 1 | 2;
  readonly dtype: DType;
  /** @default dtype */
  readonly gradDtype?: DType | undefined;
}

/** Bytes that a rank sends in a step. */
export interface Sent {
  readonly gradients: number;
  readonly parameters: number;
  /** Sums over the gradients, for clipping and the search for bad values. */
  readonly check: number;
}

export interface RankLoad {
  /** Elements it updates. */
  readonly elements: number;
  readonly stateBytes: number;
  /** What the rounding of 16-bit parameters keeps: float32 copies or what replaces them. */
  readonly masterBytes: number;
  readonly sent: Sent;
  /** Floating-point operations of Newton–Schulz iterations. */
  readonly flops: number;
}

/** How even the work of one kind is. */
export interface Balance {
  readonly kind: string;
  /** Of the busiest rank, over the mean. */
  readonly ratio: number;
  /** What no division of such tensors can be under. */
  readonly least: number;
  /** Why it is more than 5 % off. */
  readonly because?: string;
}

export interface Forecast {
  readonly elements: number;
  readonly parameterBytes: number;
  readonly gradientBytes: number;
  readonly buckets: number;
  readonly ranks: readonly RankLoad[];
  /** Every rank of the optimizer that keeps all state everywhere. */
  readonly replicated: RankLoad;
  readonly balance: readonly Balance[];
  /** Of what a rank must receive or send, the most that passes one rank's link; seconds are these over the bandwidth. */
  readonly passing: Sent;
}

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
export const most = (numbers: readonly number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0);

const bytesOf: Readonly<Record<DType, number>> = { float32: 4, float64: 8, bfloat16: 2, float16: 2 };
/** A sum for each block of a gradient. */
const sumBytes = 8;

function arrayOf(dtype: DType, length: number): HostArray {
  if (dtype === 'float32') return new Float32Array(length);
  return dtype === 'float64' ? new Float64Array(length) : new Uint16Array(length);
}

/** A tensor as it is divided, and the bytes of state of any part of it. */
interface Described extends Divisible {
  readonly name: string;
  readonly flops: number;
  readonly bytes: (elements: number, masters: boolean) => number;
}

/**
 * Which states there are depends on options, roles, names and sizes; so the optimizer itself is asked. Stand-ins take
 * the same ways through it as the tensors, and are so small that any model fits.
 */
function divided({ tensors, make, split = 1, dtype, gradDtype = dtype }: ForecastRequest, isMuon: boolean) {
  const isMatrix = tensors.map((tensor) => {
    const { name, shape } = tensor;
    return isMuon && route(tensor as Parameter & PlanTensor, { name, shape } as never).optimizer === 'muon';
  });
  const bits = dtype.endsWith('16') || gradDtype.endsWith('16');
  const standIns = tensors.map(({ name, shape, role, layout }, i): Parameter => {
    const side = product(shape) < least8bit ? 8 : Math.sqrt(least8bit);
    const small = isMatrix[i]
      ? layout === 'in-out'
        ? [side, side * split]
        : [side * split, side]
      : [side ** 2];
    const length = product(small);
    return {
      ...{ name, role, layout, shape: small, data: arrayOf(dtype, length), grad: arrayOf(gradDtype, length) },
      dtype: bits ? (dtype.endsWith('16') ? dtype : gradDtype) : undefined,
    };
  });
  const made = make(standIns);
  const inner = made instanceof Lookahead ? made.inner : made;
  const { rules, extraStates } = native().addon;
  const masters = new Set(Object.values(extraStates));
  const { nsSteps = 0 } = made.paramGroups[0] as { nsSteps?: number };
  made.step();
  const described = tensors.map(({ name, shape, layout }, i): Described => {
    const standIn = standIns[i]!;
    const fields = Object.entries(made.state(standIn)).flatMap(([field, value]) =>
      typeof value === 'number' ? [] : [{ extra: masters.has(field), array: value as Float32Array }],
    );
    const length = product(shape);
    const { rule } = inner.algorithms[isMuon && !isMatrix[i] ? 1 : 0]!;
    const { norms } = rules[rule]!;
    const [, rows, cols, outputsAreColumns] = dimsOf(shape, layout);
    if (isMatrix[i]) checkSplit(standIn, { name, shape } as never, split, 'Muon');
    const [outputs, inputs] = outputsAreColumns ? [cols, rows] : [rows, cols];
    const flops = isMatrix[i] ? split * newtonSchulzFlops(outputs / split, inputs, nsSteps) : 0;
    const whole = isMatrix[i] || norms;
    return {
      ...{ name, length, flops, elementBytes: bytesOf[dtype], splits: !whole, cost: flops || length },
      kind: isMatrix[i] ? 'matrix' : norms ? 'whole' : 'split',
      bytes: (elements, wanted) =>
        sum(
          fields
            .filter(({ extra }) => extra === wanted)
            .map(
              ({ array }) =>
                array.BYTES_PER_ELEMENT * Math.ceil((elements * array.length) / standIn.data.length),
            ),
        ),
    };
  });
  made.dispose();
  return described;
}

/** The most that is off without a word about it. */
const tolerance = 1.05;

function balanceOf(kind: string, tensors: readonly Described[], loads: readonly number[]): Balance {
  const mean = sum(loads) / loads.length;
  const ratio = mean > 0 ? most(loads) / mean : 1;
  const costs = tensors.map(({ cost }) => cost);
  // Of tensors that are split the last cut decides: a rank has whole blocks.
  const least = kind === 'split' ? 1 : mean > 0 ? leastLoad(costs, loads.length) / mean : 1;
  if (ratio <= tolerance) return { kind, ratio, least };
  const dearest = tensors.reduce((a, b) => (b.cost > a.cost ? b : a));
  const because =
    kind === 'split'
      ? `the mean is ${Math.round(mean)} elements, and cuts lie at multiples of ${cutElements}`
      : dearest.cost > mean
        ? `"${dearest.name}" stays whole and alone is ${(dearest.cost / mean).toFixed(2)} times the mean`
        : `these stay whole, and no division of them is under ${least.toFixed(3)}`;
  return { kind, ratio, least, because };
}

/** @param isMuon whether the optimizer is Muon, whose matrices stay whole */
export function forecast(request: ForecastRequest, isMuon: boolean): Forecast {
  const { ranks: size, stage, dtype, gradDtype = dtype } = request;
  // As an optimizer orders them: the matrices of Muon come first.
  const tensors = divided(request, isMuon).sort((a, b) => Number(b.flops > 0) - Number(a.flops > 0));
  const { buckets } = partition(tensors, size);
  const own = Array.from({ length: size }, () => ({ elements: 0, state: 0, master: 0, blocks: 0, flops: 0 }));
  const loads = new Map(tensors.map(({ kind }) => [kind, new Array<number>(size).fill(0)]));
  for (const { pieces } of buckets) {
    for (const { tensor, rank, begin, end } of pieces) {
      const { bytes, flops, kind, splits, cost } = tensors[tensor]!;
      const mine = own[rank]!;
      mine.elements += end - begin;
      mine.state += bytes(end - begin, false);
      mine.master += bytes(end - begin, true);
      mine.blocks += Math.ceil((end - begin) / cutElements);
      mine.flops += flops;
      loads.get(kind)![rank]! += splits ? end - begin : cost;
    }
  }
  const elements = sum(tensors.map(({ length }) => length));
  const [parameterBytes, gradientBytes] = [elements * bytesOf[dtype], elements * bytesOf[gradDtype]];
  const others = size - 1;
  const reduced = (2 * others * gradientBytes) / size;
  const ranks = own.map(({ elements: mine, state, master, blocks, flops }): RankLoad => {
    const gradients = stage === 1 ? reduced : gradientBytes - mine * bytesOf[gradDtype];
    const sent = { gradients, parameters: others * mine * bytesOf[dtype], check: others * sumBytes * blocks };
    return { elements: mine, stateBytes: state, masterBytes: master, sent, flops };
  });
  const least = own.reduce((a, b) => (b.elements < a.elements ? b : a));
  const blocks = own.map((mine) => mine.blocks);
  const passing = {
    gradients: most(ranks.map(({ sent }) => sent.gradients)),
    parameters: size > 1 ? parameterBytes - least.elements * bytesOf[dtype] : 0,
    check: size > 1 ? sumBytes * (sum(blocks) - blocks.reduce((a, b) => Math.min(a, b))) : 0,
  };
  const everywhere = { gradients: reduced, parameters: 0, check: 0 };
  const total = (of: (load: (typeof own)[number]) => number): number => sum(own.map(of));
  return {
    ...{ elements, parameterBytes, gradientBytes, buckets: buckets.length, ranks, passing },
    replicated: {
      ...{ elements, stateBytes: total(({ state }) => state), masterBytes: total(({ master }) => master) },
      ...{ sent: everywhere, flops: total(({ flops }) => flops) },
    },
    balance: [...loads].map(([kind, load]) =>
      balanceOf(
        kind,
        tensors.filter((tensor) => tensor.kind === kind),
        load,
      ),
    ),
  };
}
