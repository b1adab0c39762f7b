import type { Contender } from '../interleave';
import type { BenchRule } from '../rules';
import type { BenchTensor, Workload } from '../workloads';

/** What a peer is asked to time: the same tensors, the same rule, the same number of threads. */
export interface Task {
  readonly rule: BenchRule;
  readonly set: Workload;
  readonly tensors: readonly BenchTensor[];
  readonly threads: number;
}

/** One way to take the step without this library, timed side by side with it. */
export interface Peer {
  readonly name: string;
  /** Makes it ready, or says in a sentence why it cannot do this task. `close` gives its memory back. */
  open(task: Task): Promise<(Contender & { close(): Promise<void> }) | string>;
}

/** Where peers come from: one word of `--vs`. */
export interface PeerGroup {
  readonly peers: readonly Peer[];
  /** Why the whole group is missing, when it is. */
  readonly missing?: string;
  /** Gives back what it holds, processes too; it may be used again. */
  close(): void;
}
