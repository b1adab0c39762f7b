import { chooseIsa, chooseThreads } from './backends';
import { native } from './native';

/** Native loops over plain arrays. */
export interface ArrayOps {
  /** The sum of squares of every array, in double. */
  sumSquares(arrays: readonly Float32Array[]): Float64Array;
  /** Elementwise work on arrays, each with its own value; `average` moves them towards `others`. */
  transform(
    helper: 'scale' | 'clamp' | 'average',
    arrays: readonly Float32Array[],
    values: ArrayLike<number>,
    others?: readonly Float32Array[],
  ): void;
}

/** The loops on the kernels and threads that an optimizer made now would use. */
export function arrayOps(threads: unknown): ArrayOps {
  const { addon } = native();
  const isa = chooseIsa(addon.isas).value;
  const count = chooseThreads(threads).value;
  return {
    sumSquares: (arrays) => addon.sumSquares(isa, count, arrays),
    transform: (helper, arrays, values, others) =>
      addon.transform(helper, isa, count, arrays, Float64Array.from(values), others),
  };
}
