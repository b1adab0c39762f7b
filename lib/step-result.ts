import type { Bindings } from './bindings';
import { isCudaTensor } from './cuda/tensor';
import { firstNotFinite, type HostArray } from './dtypes';
import type { Stepper } from './native';
import type { TensorArray } from './placement';
import type { Slot } from './slot';
import type { StepSettings } from './step-settings';

/** What a step did. Of a step on a GPU, reading waits for it where that is not yet known. */
export interface StepResult {
  /** False when the step was skipped and nothing was written. */
  readonly applied: boolean;
  /** Steps this optimizer has applied so far. */
  readonly step: number;
  /** L2 norm of all gradients, unscaled and before clipping; there with `maxGradNorm`, `nonFinite` or `diagnostics`. */
  readonly gradNorm?: number;
  /** The first tensor whose gradient holds NaN or infinity, where gradients were looked at. */
  readonly nonFinite?: string;
  /** With `diagnostics`: every tensor that had a gradient, by name. */
  readonly tensors?: Readonly<Record<string, TensorDiagnostics>>;
}

/** L2 norms of one tensor's step. */
export interface TensorDiagnostics {
  /** Of the gradient, unscaled and before clipping. */
  readonly gradNorm: number;
  /** Of what the step changed: weights after it less weights before. */
  readonly updateNorm: number;
  /** Of the weights before the step. */
  readonly paramNorm: number;
  /** `updateNorm / paramNorm`; about 1e-3 is usual in healthy training. */
  readonly updateRatio: number;
  /** LARS and LAMB: what the layer's step was multiplied by. */
  readonly trustRatio?: number;
  /** Muon: `‖XXᵀ − I‖ / √rows` of the orthogonalized update X (of its smaller side); 0 is orthogonal. */
  readonly orthogonalityError?: number;
}

const numbersATensor = 5;

/** Of the tensors that took part in a step, from what native code reports of them. */
export function diagnosticsOf(
  took: readonly Slot[],
  reports: Float64Array,
): NonNullable<StepResult['tensors']> {
  return Object.fromEntries(
    took.map(({ name }, i) => {
      const at = i * numbersATensor;
      const [gradNorm, updateNorm, paramNorm, trustRatio, orthogonalityError] = reports.subarray(
        at,
        at + numbersATensor,
      ) as unknown as [number, number, number, number, number];
      const entry: TensorDiagnostics = {
        gradNorm,
        updateNorm,
        paramNorm,
        updateRatio: updateNorm / paramNorm,
        ...(Number.isNaN(trustRatio) ? {} : { trustRatio }),
        ...(Number.isNaN(orthogonalityError) ? {} : { orthogonalityError }),
      };
      return [name, entry];
    }),
  );
}

/** What a native step answered, in words. */
export function resultOf(
  { applied, gradNorm, badTensor, diagnostics }: StepSettings,
  step: number,
  bindings: Bindings,
  stepper: Stepper,
): StepResult {
  const tensors = applied && diagnostics ? diagnosticsOf(bindings.withGrad(), stepper.reports()) : undefined;
  return {
    applied,
    step,
    ...(gradNorm === undefined ? {} : { gradNorm }),
    ...(badTensor === undefined ? {} : { nonFinite: bindings.slots[badTensor]!.name }),
    ...(tensors && { tensors }),
  };
}

/** What is read of a step's result when it is known; until then reading waits for the step. */
export function lazyResult(
  known: { readonly step?: number; readonly applied?: true },
  wait: () => StepResult,
): StepResult {
  return {
    get applied() {
      return known.applied ?? wait().applied;
    },
    get step() {
      return known.step ?? wait().step;
    },
    get gradNorm() {
      return wait().gradNorm;
    },
    get nonFinite() {
      return wait().nonFinite;
    },
    get tensors() {
      return wait().tensors;
    },
  } as StepResult;
}

/** The error of a step that was to throw for a bad gradient. */
export function badGradient({ name, gradDType, first }: Slot, grad: TensorArray | null): RangeError {
  const array = isCudaTensor(grad) ? (grad.download() as HostArray) : grad;
  const received =
    (array && firstNotFinite(array, gradDType)) ??
    (first === undefined ? 'overflow when it is unscaled' : 'NaN, infinity or overflow on another rank');
  return new RangeError(
    `Expected grad of "${name}" to be finite but received ${received}; nothing was changed.`,
  );
}
