import { ncclVersion } from '../backends';
import { hashOf } from './agreement';
import { reduceOps } from './transfers';

/**
 * What ranks tell each other before a collective, so that calls that do not fit are errors: NCCL itself would hang, or
 * write where it should not.
 */
export interface Header {
  readonly kind: number;
  readonly dtype: number;
  readonly op: number;
  readonly root: number;
  readonly length: number;
  /** A digest of the elements of each rank; 0: all the same. */
  readonly counts: number;
}

const fields = ['kind', 'dtype', 'op', 'root', 'length', 'counts'] as const;
export const headerBytes = 8 * fields.length;

export const kinds = ['allReduce', 'reduceScatter', 'allGather', 'broadcast', 'barrier', 'nccl'] as const;
export type Kind = (typeof kinds)[number];

/** In the order of codes: as CudaTensors count, then what a Uint16Array may be that is only moved. */
export const dtypeNames = ['float32', 'float64', 'bfloat16', 'float16', 'uint8', '16 bits'];

export const encode = (header: Header): Uint8Array =>
  new Uint8Array(Float64Array.from(fields, (field) => header[field]).buffer);

export function decode(bytes: Uint8Array, rank: number): Header {
  const numbers = new Float64Array(bytes.slice(rank * headerBytes, (rank + 1) * headerBytes).buffer);
  return Object.fromEntries(fields.map((field, i) => [field, numbers[i]!])) as unknown as Header;
}

/** Equal lists have equal digests, others hardly ever. */
export const digest = (counts: readonly number[] | undefined): number =>
  counts === undefined ? 0 : hashOf(Float64Array.from(counts)) || 1;

const nccl = kinds.indexOf('nccl');

function show(field: keyof Header, value: number, kind: number): string {
  if (field === 'length' && kind === nccl) return ncclVersion(value);
  if (field === 'kind') return `${kinds[value] ?? 'something else'}()`;
  if (field === 'dtype') return dtypeNames[value]!;
  if (field === 'op') return kind === nccl ? (value === 1 ? 'true' : 'false') : reduceOps[value]!;
  return field === 'counts' ? 'others' : String(value);
}

function nameOf(field: keyof Header, kind: number): string {
  const call = `${kinds[kind]}()`;
  if (field === 'kind') return 'the call';
  if (kind === nccl) return field === 'op' ? `checks of ${call}` : "NCCL's version";
  return field === 'length' ? `the number of elements of ${call}` : `${field} of ${call}`;
}

/** What of the headers of all ranks differs, as an error; undefined where nothing does. */
export function disagreement(headers: readonly Header[]): Error | undefined {
  const [first] = headers;
  for (const field of fields) {
    const rank = headers.findIndex((header) => header[field] !== first![field]);
    if (rank < 0) continue;
    const { kind } = first!;
    const differs =
      field === 'counts'
        ? `it differs between rank 0 and rank ${rank}`
        : `it is ${show(field, first![field], kind)} on rank 0 and ${show(field, headers[rank]![field], kind)} on rank ${rank}`;
    return new Error(`Expected ${nameOf(field, kind)} to be the same on all ranks but ${differs}.`);
  }
  return undefined;
}
