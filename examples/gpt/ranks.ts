/** The processes that train one model together: this one alone, or those that mpirun has started. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { mpi, type Communicator } from 'fused-optim';
import { UsageError } from './options';

/** What Open MPI, MPICH, Slurm and MVAPICH tell the processes that they start. */
const LAUNCHED = /^(OMPI_COMM_WORLD|PMIX|PMI|MV2_COMM_WORLD)_RANK$/;

/** Ranks that share this machine's cores, by the same launchers. */
const ON_THIS_MACHINE = ['OMPI_COMM_WORLD_LOCAL_SIZE', 'MPI_LOCALNRANKS', 'MV2_COMM_WORLD_LOCAL_SIZE'];

/** mpirun hands on the last one to its ranks; of the others it makes an end in a second. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGUSR2'] as const;

/** Seconds that a rank waits for another. The first may install onnxruntime, and it writes the sample. */
const PATIENCE = 600;

/** Milliseconds in which a mistake that all ranks make has come to all of them. */
const SAME_MISTAKE = 3000;

export class Ranks {
  readonly #comm: Communicator | undefined;
  readonly #stop = (): void => void (this.#asked = true);
  #listens = false;
  #asked = false;
  #agreed = false;

  private constructor(comm?: Communicator) {
    this.#comm = comm;
  }

  static alone(): Ranks {
    return new Ranks();
  }

  /** Waits for all processes of the job. */
  static join(): Ranks {
    if (!Object.keys(process.env).some((name) => LAUNCHED.test(name))) {
      throw new UsageError(
        'Expected --data-parallel in processes that mpirun has started; start them so: ' +
          'mpirun -n 2 node scripts/demo.js --data-parallel',
      );
    }
    const ranks = new Ranks(mpi({ timeout: PATIENCE }));
    // At once: a rank that a signal ended while another is training would end that one without a checkpoint.
    ranks.listen();
    return ranks;
  }

  get comm(): Communicator | undefined {
    return this.#comm;
  }
  get rank(): number {
    return this.#comm?.rank ?? 0;
  }
  get size(): number {
    return this.#comm?.size ?? 1;
  }
  /** Prints, saves and reports for all. */
  get isFirst(): boolean {
    return this.rank === 0;
  }

  /** Threads for this process, where so many may be used by all ranks of the machine. */
  share(threads: number): number {
    if (!this.#comm) return threads;
    const [told] = ON_THIS_MACHINE.map((name) => process.env[name]).filter((value) => value !== undefined);
    return Math.max(1, Math.floor(threads / (Number(told) || this.size)));
  }

  /** From now on a signal asks all ranks to end; they hear of it with the next loss. */
  listen(): void {
    // Not taken off and put on again: a signal that is under way just then would be lost.
    if (this.#listens) return;
    this.#listens = true;
    for (const signal of SIGNALS) process.once(signal, this.#stop);
  }

  ignore(): void {
    this.#listens = false;
    for (const signal of SIGNALS) process.off(signal, this.#stop);
  }

  /** Whether all ranks end here. A process alone need not wait for others to hear of it. */
  get stopped(): boolean {
    return this.#comm ? this.#agreed : this.#asked;
  }

  /** The mean loss of all ranks. With it they agree on whether to end, so that all do after the same step. */
  async mean(loss: number): Promise<number> {
    if (!this.#comm) return loss;
    const told = Float64Array.of(loss, Number(this.#asked));
    await this.#comm.allReduce(told);
    this.#agreed = told[1]! > 0;
    return told[0]! / this.size;
  }

  async barrier(): Promise<void> {
    await this.#comm?.barrier();
  }

  /** A number of every rank. */
  async numbers(own: number): Promise<number[]> {
    const all = new Float64Array(this.size).fill(own);
    await this.#comm?.allGather(Float64Array.of(own), all);
    return [...all];
  }

  /** A hash of every rank's arrays; where all ranks have the same weights, these are equal. */
  async checksums(arrays: Iterable<Float32Array>): Promise<string[]> {
    const hash = createHash('sha256');
    for (const { buffer, byteOffset, byteLength } of arrays)
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    const own = new Uint8Array(hash.digest());
    const all = new Uint8Array(own.length * this.size);
    if (this.#comm) await this.#comm.allGather(own, all);
    else all.set(own);
    return Array.from({ length: this.size }, (_, rank) =>
      Buffer.from(all.subarray(rank * own.length, (rank + 1) * own.length)).toString('hex'),
    );
  }

  /** Says on standard error what went wrong: once, where all ranks fail alike. Otherwise the job ends with this process. */
  async complain(message: string): Promise<void> {
    if (this.isFirst) process.stderr.write(`${message}\n`);
    if (!this.#comm) return;
    const late = new AbortController();
    const met = this.#comm.barrier().then(
      () => true,
      () => false,
    );
    const waited = sleep(SAME_MISTAKE, false, late).catch(() => false);
    const isCommon = await Promise.race([met, waited]);
    late.abort();
    if (isCommon) await this.close();
    else if (!this.isFirst) process.stderr.write(`Rank ${this.rank}: ${message}\n`);
  }

  async close(): Promise<void> {
    await this.#comm?.close();
  }
}
