import type { FaultFacts } from './native';

/** A call into CUDA or cuBLAS that failed. */
export class CudaError extends Error {
  override readonly name = 'CudaError';

  constructor(
    message: string,
    /** The function of the CUDA runtime, such as "cudaMalloc". */
    readonly call: string,
    /** Its error as a number, and by name, such as 2 and "cudaErrorMemoryAllocation". */
    readonly code: number,
    readonly codeName: string,
    /** That was running, where work that had been queued failed. */
    readonly kernel?: string,
    /** That were asked for, where there was not enough memory. */
    readonly bytes?: number,
  ) {
    super(message);
  }
}

/** @internal What native code calls to throw a fault. */
export function makeCudaError(...[call, code, codeName, message, kernel, bytes]: FaultFacts): CudaError {
  return new CudaError(message, call, code, codeName, kernel || undefined, bytes || undefined);
}
