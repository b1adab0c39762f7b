import { factsOf } from '../cuda/dtypes';
import { isCudaTensor } from '../cuda/tensor';
import type { CommArray, Counts, ReduceOp, ReduceOptions } from './communicator';
import { digest, dtypeNames, kinds, type Header, type Kind } from './nccl-header';
import { checkDevice, cudaDType, operandOf, type Operand } from './nccl-operand';
import { sum } from './owners';
import {
  checkOne,
  checkPair,
  checkRoot,
  reduceOps,
  type Borrowed,
  type CommDType,
  type Pair,
  type Place,
} from './transfers';

/** Operations as native code numbers them, and what it is told of each: NativeComm.call(). */
export const codes = { allReduce: 0, reduceScatter: 1, allGather: 2, broadcast: 3, reduce: 4 } as const;
type Op = readonly [kind: number, send: number, receive: number, count: number, root: number];

/** A collective whose arguments are right by themselves. */
export interface Call {
  readonly kind: Kind;
  readonly header: Header;
  readonly ops: readonly Op[];
  readonly reduce: ReduceOp;
  readonly send: Operand;
  readonly receive: Operand;
}

/** Whose arguments are checked. */
export interface Rank extends Place {
  readonly device: number;
}

export const headerOf = (kind: Kind, rest?: Partial<Header>): Header => ({
  kind: kinds.indexOf(kind),
  dtype: 0,
  op: 0,
  root: 0,
  length: 0,
  counts: 0,
  ...rest,
});

const startOf = (counts: readonly number[], rank: number): number => sum(counts.slice(0, rank));

/** A call of one array. */
export function one(
  kind: 'allReduce' | 'broadcast',
  { device, size }: Rank,
  array: CommArray,
  options: ReduceOptions | undefined,
  from = 0,
): Call {
  const { data, op } = checkOne(kind, array, options);
  const root = checkRoot(from, size);
  const { length, dtype } = data;
  const ops: Op[] = [[codes[kind], 0, 0, length, root]];
  return callOf(kind, [data], dtype, ops, { length, root }, op, device);
}

/** A call of all ranks' shares and one of them. */
export function pair(
  kind: 'reduceScatter' | 'allGather',
  rank: Rank,
  from: CommArray,
  to: CommArray,
  options: (ReduceOptions & Counts) | undefined,
): Call {
  const checked = checkPair(kind, from, to, options, rank);
  const { send, receive, counts, dtype, op, given } = checked;
  checkApart(kind, checked, rank);
  const ops = counts.every((count) => count === counts[0])
    ? [[codes[kind], 0, 0, counts[0]!, 0] as const]
    : counts.map((count, r): Op => {
        const start = startOf(counts, r);
        return kind === 'allGather'
          ? [codes.broadcast, 0, start, count, r]
          : [codes.reduce, start, 0, count, r];
      });
  const length = startOf(counts, rank.size);
  return callOf(kind, [send, receive], dtype, ops, { length, counts: digest(given) }, op, rank.device);
}

function callOf(
  kind: Kind,
  arrays: readonly Borrowed[],
  dtype: CommDType,
  ops: readonly Op[],
  facts: Partial<Header>,
  reduce: ReduceOp,
  device: number,
): Call {
  for (const borrowed of arrays) checkDevice(borrowed, device);
  const moves = kind === 'broadcast' || kind === 'allGather';
  const { bytes, code } = factsOf(cudaDType(dtype));
  const header = headerOf(kind, {
    ...facts,
    // What is only moved may be told by one rank and not by another.
    dtype: moves && bytes === 2 ? dtypeNames.length - 1 : code,
    op: moves ? 0 : reduceOps.indexOf(reduce),
  });
  const operands: Operand[] = [];
  try {
    for (const borrowed of arrays) operands.push(operandOf(borrowed, dtype, moves, device));
  } catch (error) {
    for (const operand of operands) operand.release();
    throw error;
  }
  // NCCL need not know of nothing, which is nothing on all ranks.
  const some = ops.filter((op) => op[3] > 0);
  return { kind, header, ops: some, reduce, send: operands[0]!, receive: operands.at(-1)! };
}

/** A share of a tensor is this rank's place in it, or apart from it. */
function checkApart(kind: string, { send, receive, counts, call }: Pair, { rank }: Rank): void {
  const [share, whole] = kind === 'allGather' ? [send, receive] : [receive, send];
  const [part, all] = [share.array, whole.array];
  if (!isCudaTensor(part) || !isCudaTensor(all) || part.length === 0) return;
  const apart = part.pointer - all.pointer;
  const place = BigInt(startOf(counts, rank) * factsOf(part.dtype).bytes);
  if (apart === place || apart >= BigInt(all.bytes) || apart <= -BigInt(part.bytes)) return;
  const [partName, wholeName] = kind === 'allGather' ? ['send', 'receive'] : ['receive', 'send'];
  throw new RangeError(
    `Expected ${partName} of ${call} to be this rank's place in ${wholeName}, or apart from it, but they overlap.`,
  );
}
