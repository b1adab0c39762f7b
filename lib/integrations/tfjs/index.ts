import type { Tf, TfOptimizerOf } from './framework';
import { TfOptimizer } from './optimizer';
import type { TfInner, TfInnerClass, TfOptions } from './options';

/** Classes that were registered with a tfjs, so that it can make them when it loads a model. */
const registered = new WeakMap<Tf, WeakSet<object>>();

/**
 * An optimizer of this library for TensorFlow.js: for `model.compile({ optimizer })` and `model.fit()`, for
 * `optimizer.minimize(f)`, and with `tf.variableGrads`.
 *
 *     model.compile({ optimizer: tfOptimizer(tf, AdamW, { lr: 1e-3 }), loss: 'meanSquaredError' });
 *
 * On the backends `cpu` and `wasm` variables are updated where they lie, without copies; one that shares its memory with
 * another tensor gets memory of its own first. Other backends are served by copies. State is kept by variable name.
 *
 * @param tf the package `@tensorflow/tfjs`, with the backend it is set to at each step; it is never imported
 * @param Class the optimizer's class, such as `AdamW` or `Muon`, which gets `layout: 'in-out'` filled in
 * @param options those of the class, and `groups`, `role`, `nameOf` and `inPlace`
 * @throws TypeError or RangeError in one sentence for options that the class does not take
 */
export function tfOptimizer<T extends Tf, O extends object, I extends TfInner<O>>(
  tf: T,
  Class: TfInnerClass<O, I>,
  options: TfOptions<O> = {} as TfOptions<O>,
): TfOptimizer<O, I> & TfOptimizerOf<T> {
  const optimizer = new TfOptimizer<O, I>(tf, Class, options);
  register(tf, Class, optimizer.getClassName());
  return optimizer as TfOptimizer<O, I> & TfOptimizerOf<T>;
}

function register<O extends object, I extends TfInner<O>>(
  tf: Tf,
  Class: TfInnerClass<O, I>,
  className: string,
): void {
  const known = registered.get(tf) ?? new WeakSet();
  if (!tf.serialization || known.has(Class)) return;
  registered.set(tf, known.add(Class));
  const fromConfig = (_class: unknown, { customObjects: _, ...options }: Record<string, unknown>) =>
    tfOptimizer(tf, Class, options as TfOptions<O>);
  tf.serialization.registerClass({ className, fromConfig } as never);
}
