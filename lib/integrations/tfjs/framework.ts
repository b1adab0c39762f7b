/** What is used of tfjs, and no more: the package knows its shape, not its types. */

/** A tensor of tfjs. */
export interface TfTensor {
  readonly dataId: object;
  readonly shape: readonly number[];
  readonly size: number;
  readonly dtype: string;
  readonly isDisposed: boolean;
  dataSync(): ArrayLike<number>;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}

/** A `tf.Variable`. */
export interface TfVariable extends TfTensor {
  readonly name: string;
  readonly trainable: boolean;
  assign(value: TfTensor): void;
}

/** A name with a tensor, as tfjs hands over gradients and weights. */
export interface TfNamedTensor<T = TfTensor> {
  readonly name: string;
  readonly tensor: T;
}

/** Gradients by the names of variables, or as a list; one that is `null` or missing leaves its variable alone. */
export type TfGradients =
  | Readonly<Record<string, TfTensor | null | undefined>>
  | readonly TfNamedTensor<TfTensor | null | undefined>[];

/** The package `@tensorflow/tfjs`, as `import * as tf` or `require` gives it. */
export interface Tf {
  tensor(values: Float32Array | Int32Array, shape: number[], dtype: 'float32' | 'int32'): TfTensor;
  variableGrads(
    f: () => TfTensor,
    varList?: TfVariable[],
  ): { value: TfTensor; grads: Record<string, TfTensor> };
  engine(): { readonly registeredVariables: Readonly<Record<string, TfVariable>> };
  getBackend(): string;
  backend(): object;
  readonly serialization?: { registerClass(given: never): unknown };
}

/** tfjs's own class of optimizers, of which `model.compile()` wants one. */
export type TfOptimizerOf<T> = T extends { readonly Optimizer: abstract new (...args: never) => infer R }
  ? R
  : unknown;
