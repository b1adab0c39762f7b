/** Host memory for calls of MPI, which stands for that of a GPU. */
import { factsOf } from '../cuda/dtypes';
import { isCudaTensor } from '../cuda/tensor';
import type { HostArray } from '../dtypes';
import { expectedRange } from '../validate';
import { memoryOf } from './memory';
import type { Borrowed } from './transfers';

/** Memory as the engine takes it. */
export type HostBytes = Float32Array | Float64Array | Uint16Array | Uint8Array;

/** More elements than this do not fit the counts of MPI. */
const mostElements = 2 ** 31 - 1;

/** Host memory for a call, and what is to be done with it when the call has ended well. */
export interface Staged {
  readonly host: HostBytes;
  /** Brings results to where they belong. */
  readonly finish: () => void;
}

/** `reads`: whether the call takes numbers from the array. `writes`: whether it gives them to it. */
export function stage({ array, length, what }: Borrowed, reads: boolean, writes: boolean): Staged {
  if (length > mostElements)
    throw expectedRange(`the length of ${what}`, `at most ${mostElements} elements`, length);
  if (isCudaTensor(array)) {
    // MPI moves host memory. The copy is made here, so that calls keep their order among each other.
    const host = new (factsOf(array.dtype).Kind)(length);
    if (reads) array.download(host);
    return {
      host,
      finish: () => {
        if (writes) array.upload(host);
      },
    };
  }
  const finish = (): void => {
    if (array.length === length) return;
    throw new Error(
      `Expected ${what} to stay in place until the promise resolved but its buffer was detached.`,
    );
  };
  // Node-API does not know a Float16Array.
  return { host: memoryOf(array as HostArray) as HostBytes, finish };
}
