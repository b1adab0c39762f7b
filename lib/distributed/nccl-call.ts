import { readOptions } from '../cuda/device';
import { factsOf } from '../cuda/dtypes';
import { CudaTensor } from '../cuda/tensor';
import { checkChoice } from '../options';
import { expectedRange, expectedType } from '../validate';
import type { CommArray, Counts, ReduceOp, ReduceOptions, TransferOptions } from './communicator';
import { digest, dtypeNames, kinds, opNames, type Header, type Kind } from './nccl-header';
import { checkedOperand, operandOf, type Operand } from './nccl-operand';

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
export interface Rank {
  readonly rank: number;
  readonly size: number;
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

const startOf = (counts: readonly number[], rank: number): number =>
  counts.slice(0, rank).reduce((sum, count) => sum + count, 0);

export function allReduce({ device }: Rank, data: CommArray, options: ReduceOptions | undefined): Call {
  const what = 'allReduce()';
  const { op, dtype } = readOptions(options, ['op', 'dtype'], what);
  const reduce = reduceOf(op, what);
  const operand = operandOf(data, checkedOperand(data, dtype, device, true, `data of ${what}`), device);
  const { length } = operand;
  return callOf('allReduce', [operand, operand], [[codes.allReduce, 0, 0, length, 0]], { length }, reduce);
}

export function broadcast(
  { device, size }: Rank,
  data: CommArray,
  root: number,
  options: TransferOptions | undefined,
): Call {
  const what = 'broadcast()';
  const { dtype } = readOptions(options, ['dtype'], what);
  const expected = `an integer in [0, ${size})`;
  if (typeof root !== 'number') throw expectedType(`root of ${what}`, expected, root);
  if (!Number.isInteger(root) || root < 0 || root >= size)
    throw expectedRange(`root of ${what}`, expected, root);
  const operand = operandOf(data, checkedOperand(data, dtype, device, false, `data of ${what}`), device);
  const { length } = operand;
  return callOf('broadcast', [operand, operand], [[codes.broadcast, 0, 0, length, root]], { length, root });
}

export function reduceScatter(
  rank: Rank,
  send: CommArray,
  receive: CommArray,
  options: (ReduceOptions & Counts) | undefined,
): Call {
  const what = 'reduceScatter()';
  const { op, dtype, counts } = readOptions(options, ['op', 'dtype', 'counts'], what);
  const reduce = reduceOf(op, what);
  const make = checkedPair(rank, send, receive, dtype, true, what);
  const shares = sharesOf(rank, counts, ['receive', receive], ['send', send], what);
  const ops = isEven(shares)
    ? [[codes.reduceScatter, 0, 0, shares[0]!, 0] as const]
    : shares.map((count, r) => [codes.reduce, startOf(shares, r), 0, count, r] as const);
  return callOf('reduceScatter', make(), ops, { length: send.length, counts: digest(counts) }, reduce);
}

export function allGather(
  rank: Rank,
  send: CommArray,
  receive: CommArray,
  options: (TransferOptions & Counts) | undefined,
): Call {
  const what = 'allGather()';
  const { dtype, counts } = readOptions(options, ['dtype', 'counts'], what);
  const make = checkedPair(rank, send, receive, dtype, false, what);
  const shares = sharesOf(rank, counts, ['send', send], ['receive', receive], what);
  const ops = isEven(shares)
    ? [[codes.allGather, 0, 0, shares[0]!, 0] as const]
    : shares.map((count, r) => [codes.broadcast, 0, startOf(shares, r), count, r] as const);
  return callOf('allGather', make(), ops, { length: receive.length, counts: digest(counts) });
}

function callOf(
  kind: Kind,
  [send, receive]: readonly [Operand, Operand],
  ops: readonly Op[],
  facts: Partial<Header>,
  reduce?: ReduceOp,
): Call {
  const { dtype } = send;
  // What is only moved may be told by one rank and not by another.
  const is16 = reduce === undefined && factsOf(dtype).bytes === 2;
  const header = headerOf(kind, {
    ...facts,
    dtype: is16 ? dtypeNames.length - 1 : factsOf(dtype).code,
    op: reduce === undefined ? 0 : opNames.indexOf(reduce),
  });
  // NCCL need not know of nothing, which is nothing on all ranks.
  return { kind, header, ops: ops.filter((op) => op[3] > 0), reduce: reduce ?? 'sum', send, receive };
}

const reduceOf = (op: unknown, what: string): ReduceOp =>
  op === undefined ? 'sum' : checkChoice(op, opNames, `op of ${what}`);

const isEven = (counts: readonly number[]): boolean => counts.every((count) => count === counts[0]);

/** Checks both arrays of a call; what is returned makes operands of them. */
function checkedPair(
  { device }: Rank,
  send: CommArray,
  receive: CommArray,
  dtype: unknown,
  reduces: boolean,
  what: string,
): () => [Operand, Operand] {
  const from = checkedOperand(send, dtype, device, reduces, `send of ${what}`);
  const to = checkedOperand(receive, dtype, device, reduces, `receive of ${what}`);
  const isSame = from.known && to.known ? from.dtype === to.dtype : sizeOf(from) === sizeOf(to);
  if (!isSame)
    throw new TypeError(
      `Expected receive of ${what} to be ${from.dtype}, as send is, but received ${to.dtype}.`,
    );
  const agreed = from.known ? from : to;
  return () => {
    const first = operandOf(send, agreed, device);
    try {
      return [first, operandOf(receive, agreed, device)];
    } catch (error) {
      first.release();
      throw error;
    }
  };
}

const sizeOf = ({ dtype }: Pick<Operand, 'dtype'>): number => factsOf(dtype).bytes;

/** Elements of each rank: `part` is this rank's share of `whole`. */
function sharesOf(
  { rank, size }: Rank,
  counts: unknown,
  [partName, part]: readonly [string, CommArray],
  [wholeName, whole]: readonly [string, CommArray],
  what: string,
): readonly number[] {
  if (counts !== undefined) {
    const expected = `an array of ${size} integers >= 0`;
    if (!Array.isArray(counts)) throw expectedType(`counts of ${what}`, expected, counts);
    if (counts.length !== size || !counts.every((count) => Number.isSafeInteger(count) && count >= 0))
      throw expectedRange(`counts of ${what}`, expected, `[${counts.join(', ')}]`);
  }
  const shares = (counts as number[] | undefined) ?? new Array<number>(size).fill(part.length);
  const needed: [string, CommArray, number][] = [
    [partName, part, shares[rank]!],
    [wholeName, whole, startOf(shares, size)],
  ];
  for (const [name, { length }, elements] of needed)
    if (length !== elements)
      throw new RangeError(
        `Expected ${name} of ${what} to have ${elements} elements on rank ${rank} but received ${length}.`,
      );
  if (part instanceof CudaTensor && whole instanceof CudaTensor && part.length > 0) {
    const apart = part.pointer - whole.pointer;
    const place = BigInt(startOf(shares, rank) * factsOf(part.dtype).bytes);
    if (apart !== place && apart < BigInt(whole.bytes) && apart > -BigInt(part.bytes))
      throw new RangeError(
        `Expected ${partName} of ${what} to be this rank's place in ${wholeName}, or apart from it, but they overlap.`,
      );
  }
  return shares;
}
