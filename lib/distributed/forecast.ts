/**
 * What sharding an optimizer costs and saves, without running it: bytes of state a rank keeps, bytes it sends in a step,
 * work it has. docs/distributed-plan.md has the formulas and their conventions.
 */
import { factsOf } from '../cuda/dtypes';
import type { DType, HostArray } from '../dtypes';
import { fieldBytes, stateFields } from '../formats';
import { Lookahead } from '../lookahead';
import { native } from '../native';
import type { Optimizer } from '../optimizer';
import { firstElement, sizeOf, type Layout, type PartOfTensor, type Role } from '../parameter';
import { leastLoad, most, sum } from './owners';
import { cutElements, partition, type Divisible } from './partition';
import { sendsDirection, workOf } from './work';

/** A tensor without its memory. */
export interface PlanTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role?: Role | undefined;
  readonly layout?: Layout | undefined;
}

export interface ForecastRequest {
  readonly tensors: readonly PlanTensor[];
  /** Makes the optimizer, over an element of each tensor. */
  readonly make: (params: PartOfTensor[]) => Optimizer | Lookahead;
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
  /** The directions of Muon's matrices among them, where these are sent. */
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

/** A sum for each block of a gradient. */
const sumBytes = 8;

/** A tensor as it is divided, and the bytes of state of any part of it. */
interface Described extends Divisible {
  readonly name: string;
  readonly flops: number;
  /** Bytes of an element as it is gathered. */
  readonly sent: number;
  readonly bytes: (elements: number, masters: boolean) => number;
}

/**
 * Which states there are depends on options, roles, names and sizes; so the optimizer itself is asked, and refuses what
 * it would refuse. It gets an element of each tensor with the shape of the whole, so that any model fits.
 */
function divided({ tensors, make, dtype, gradDtype = dtype }: ForecastRequest): Described[] {
  const bits = [dtype, gradDtype].find((each) => each.endsWith('16'));
  const made = make(
    tensors.map(({ name, shape, role, layout }) => ({
      ...{
        name,
        shape,
        role,
        layout,
        dtype: bits,
        data: new (factsOf(dtype).Kind)(1) as HostArray,
        grad: new (factsOf(gradDtype).Kind)(1) as HostArray,
      },
      [firstElement]: 0,
    })),
  );
  const inner = made instanceof Lookahead ? made.inner : made;
  const { attached } = inner;
  const { stepper } = inner.attach(attached!); // as it is, which may be none
  const masters = new Set(Object.values(native().addon.extraStates));
  const described = inner.order.map(({ parameter, slot }): Described => {
    inner.placement.gradDType(parameter.grad, slot);
    const { index, name, shape, format } = slot;
    const group = inner.groupOf(slot);
    const { algorithm, live } = group;
    const { states } = algorithm;
    const row = group.numbers(group.checked((option) => live[option]));
    const used = stepper.usedStates(index, row) | (attached ? 1 << states.length : 0);
    return {
      ...workOf(parameter, shape, group),
      ...{ name, length: sizeOf(shape), elementBytes: factsOf(dtype).bytes },
      sent: factsOf(sendsDirection(inner, slot) ? 'bfloat16' : dtype).bytes,
      bytes: (elements, wanted) =>
        sum(
          stateFields(states, format, elements).map((field, i, fields) => {
            const { state, byteOffset } = field;
            // Of 8-bit states the scales come last, where the memory ends.
            const isLast = fields[i + 1]?.state !== state;
            const counts = isLast && used & (1 << state) && masters.has(field.name) === wanted;
            return counts ? byteOffset + fieldBytes(field) : 0;
          }),
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

export function forecast(request: ForecastRequest): Forecast {
  const { ranks: size, stage, dtype, gradDtype = dtype } = request;
  const tensors = divided(request);
  const { buckets } = partition(tensors, size);
  const own = Array.from({ length: size }, () => ({
    ...{ elements: 0, sent: 0, state: 0, master: 0, blocks: 0, flops: 0 },
  }));
  const loads = new Map(tensors.map(({ kind }) => [kind, new Array<number>(size).fill(0)]));
  for (const { pieces } of buckets) {
    for (const { tensor, rank, begin, end } of pieces) {
      const { bytes, sent, flops, kind, splits, cost } = tensors[tensor]!;
      const mine = own[rank]!;
      mine.elements += end - begin;
      mine.sent += sent * (end - begin);
      mine.state += bytes(end - begin, false);
      mine.master += bytes(end - begin, true);
      mine.blocks += Math.ceil((end - begin) / cutElements);
      mine.flops += flops;
      loads.get(kind)![rank]! += splits ? end - begin : cost;
    }
  }
  const elements = sum(tensors.map(({ length }) => length));
  const [parameterBytes, gradientBytes] = [
    elements * factsOf(dtype).bytes,
    elements * factsOf(gradDtype).bytes,
  ];
  const others = size - 1;
  const reduced = (2 * others * gradientBytes) / size;
  const ranks = own.map(({ elements: mine, sent: bytes, state, master, blocks, flops }): RankLoad => {
    const gradients = stage === 1 ? reduced : gradientBytes - mine * factsOf(gradDtype).bytes;
    const sent = {
      gradients,
      parameters: others * bytes,
      check: others * sumBytes * blocks,
    };
    return { elements: mine, stateBytes: state, masterBytes: master, sent, flops };
  });
  // All but what the rank that has least of it sends.
  const allButLeast = (bytes: readonly number[]): number =>
    size > 1 ? sum(bytes) - bytes.reduce((a, b) => Math.min(a, b)) : 0;
  const passing = {
    gradients: most(ranks.map(({ sent }) => sent.gradients)),
    parameters: allButLeast(own.map((mine) => mine.sent)),
    check: allButLeast(own.map((mine) => sumBytes * mine.blocks)),
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
