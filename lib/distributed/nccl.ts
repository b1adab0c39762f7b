import { deviceIndex, usable } from '../cuda/device';
import type { NativeCuda } from '../cuda/native';
import { defaultStream, streamFor, type CudaStream } from '../cuda/stream';
import { expectedRange, expectedType, numberWhere, readOptions } from '../validate';
import type { Communicator } from './communicator';
import { NcclCommunicator, type NcclInit } from './nccl-communicator';
import { deviceOf, launchOf } from './nccl-launch';

export interface NcclOptions {
  /**
   * A communicator of the same ranks, such as `await mpi()`: NCCL's id travels over it, checks do, and it says which rank
   * has gone. @default what torchrun or Slurm have set in the environment
   */
  readonly over?: Communicator | undefined;
  /** Of this process, where neither `over` nor a launcher says it. In [0, size). */
  readonly rank?: number | undefined;
  /** Number of ranks, likewise; of one rank nothing else is needed. >= 1 */
  readonly size?: number | undefined;
  /** The GPU. @default the one of this process's number on its host */
  readonly device?: number | undefined;
  /** A collective comes after what is queued here. @default the stream that `cuda` uses for the device */
  readonly stream?: CudaStream | undefined;
  /**
   * Seconds, > 0. When nothing happens for so long, a rank is taken for dead, and the communicator fails. @default 300
   */
  readonly timeout?: number | undefined;
  /** Whether ranks compare what they are about to do, at the price of a small exchange a call. @default true */
  readonly checks?: boolean | undefined;
}

const names = ['over', 'rank', 'size', 'device', 'stream', 'timeout', 'checks'] as const;
const what = 'nccl()';
const seconds = numberWhere('a number > 0 of seconds', (value) => value > 0);

/** What one rank tells the others before they begin, padded to this. */
const wordBytes = 1024;

/** The ranks of a job as NCCL connects them. Resolves when all have come. */
export async function nccl(options?: NcclOptions): Promise<Communicator> {
  const given = readOptions(options, names, what);
  const { over } = given;
  if (over !== undefined) checkOver(over, given);
  let prepared: Prepared | undefined;
  let problem: Error | undefined;
  try {
    prepared = prepare(given);
  } catch (error) {
    problem = error as Error;
  }
  // Before anybody waits for a rank that will not come.
  if (over) await compare(over, problem);
  if (!prepared) throw problem!;
  const { addon, init, address, id } = prepared;
  if (over) await over.broadcast(id as Uint8Array, 0);
  const comm = new addon.Comm(init.device);
  try {
    await comm.start(init.size, init.rank, id, init.timeout);
  } catch (error) {
    const { size, rank, timeout } = init;
    const where = over || size === 1 ? '' : ` at ${address}`;
    throw new Error(
      `Expected ${size} ranks to meet${where} within ${timeout} s for ${what} but, on rank ${rank}, ` +
        (error as Error).message,
      { cause: error },
    );
  }
  const communicator = new NcclCommunicator(comm, init);
  try {
    await communicator.connect(addon.nccl().version);
  } catch (error) {
    // Ranks that disagree all know it, and end together: an abort would meet the others in the middle of their exchange.
    if ((error as Error).cause === undefined) await comm.close().catch(() => undefined);
    comm.abort('this rank has failed');
    throw error;
  }
  return communicator;
}

interface Prepared {
  readonly addon: NativeCuda;
  readonly init: NcclInit;
  readonly address: string;
  /** Of the meeting: NCCL's id, of rank 0 to begin with, or the address. */
  readonly id: Uint8Array | string;
}

/** All that this rank can find out alone. */
function prepare(given: Partial<NcclOptions>): Prepared {
  const { over, rank, size, timeout = 300, checks = true } = given;
  if (typeof checks !== 'boolean') throw expectedType(`checks of ${what}`, 'true or false', checks);
  const time = seconds(timeout, `timeout of ${what}`);
  if (over === undefined) checkRank(rank, size);
  const addon = usable(what);
  const { available, reason } = addon.nccl();
  if (!available)
    throw new Error(
      `Expected NCCL to be available for ${what} but ${reason}. Install it (Debian and Ubuntu: libnccl2; Python: ` +
        'nvidia-nccl-cu13 or nvidia-nccl-cu12), or name its file in FUSED_OPTIM_NCCL.',
    );
  const launch = over ? { rank: over.rank, size: over.size, address: '' } : launchOf(rank, size, process.env);
  const device = deviceIndex(given.device ?? deviceOf(addon.presence().devices, process.env), what);
  const stream = given.stream ?? defaultStream(device);
  streamFor(stream, device, what);
  const { address, ...ranks } = launch;
  const isFirst = ranks.size === 1 || (over !== undefined && ranks.rank === 0);
  const id = isFirst ? addon.ncclUniqueId() : over ? new Uint8Array(128) : address;
  return { addon, id, init: { ...ranks, device, stream, timeout: time, checks, over }, address };
}

function checkRank(rank: unknown, size: unknown): void {
  if (rank === undefined && size === undefined) return;
  if (typeof size !== 'number') throw expectedType(`size of ${what}`, 'an integer >= 1, beside rank,', size);
  if (!Number.isInteger(size) || size < 1) throw expectedRange(`size of ${what}`, 'an integer >= 1', size);
  const expected = `an integer in [0, ${size})`;
  if (typeof rank !== 'number') throw expectedType(`rank of ${what}`, `${expected}, beside size,`, rank);
  if (!Number.isInteger(rank) || rank < 0 || rank >= size)
    throw expectedRange(`rank of ${what}`, expected, rank);
}

function checkOver(over: unknown, { rank, size }: Partial<NcclOptions>): void {
  const fits =
    typeof over === 'object' &&
    over !== null &&
    ['allGather', 'broadcast', 'barrier'].every(
      (method) => typeof (over as Record<string, unknown>)[method] === 'function',
    );
  if (!fits) throw expectedType(`over of ${what}`, 'a communicator, such as await mpi(),', over);
  if (rank !== undefined || size !== undefined)
    throw new TypeError(`Expected rank and size of ${what} to be those of over but they are options too.`);
}

/** Ranks tell each other what keeps them from beginning: else the others would wait. */
async function compare(over: Communicator, problem: Error | undefined): Promise<void> {
  const words = new Uint8Array(wordBytes);
  if (problem) new TextEncoder().encodeInto(problem.message, words);
  const all = new Uint8Array(wordBytes * over.size);
  await over.allGather(words, all);
  if (problem) throw problem;
  for (let rank = 0; rank < over.size; ++rank) {
    const said = all.subarray(rank * wordBytes, (rank + 1) * wordBytes);
    const text = new TextDecoder().decode(said.subarray(0, said.indexOf(0)));
    if (text) throw new Error(`Expected all ranks to begin ${what} but rank ${rank} cannot: ${text}`);
  }
}
