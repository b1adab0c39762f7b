/** Shared with `fused-optim bench`, which is in the package. */
export * from '../lib/cli/bench/statistics';
