/** An optax-shaped gradient transformation for jax-js, which is passed in and never imported. */
import type { Optimizer } from '../optimizer';
import type { Parameter } from '../parameter';
import { expectedType } from '../validate';

/** An array of jax-js, as far as it is used here. */
export interface JaxArray {
  readonly shape: number[];
  readonly dtype: unknown;
  /** Its numbers; takes the reference. */
  dataSync(): ArrayLike<number>;
}

/** The structure of a tree. */
interface JaxTreeDef {
  readonly nodeType: unknown;
  readonly nodeMetadata: unknown;
  readonly childTreedefs: readonly JaxTreeDef[];
}

/** The package `@jax-js/jax` itself. */
export interface Jax {
  readonly numpy: { array(values: never, options?: never): unknown };
  readonly tree: {
    flatten(tree: never): [unknown[], unknown];
    unflatten(treedef: never, leaves: never): unknown;
  };
}

/** The state of a transformation. It is used once: each update gives the next one. */
export interface JaxState {
  /** Whose options are live, as `state.optimizer.paramGroups[0].lr`, and which `save()` and `load()` the rest. */
  readonly optimizer: Optimizer;
}

/** As optax's `GradientTransformation`, with `apply()` beside. Arrays that are passed are taken, as jax-js does: pass `.ref`. */
export interface JaxTransformation {
  init(params: unknown): JaxState;
  /**
   * What is to be added to the parameters, and the next state. Where `params` are given, the step is from these; else
   * from what the last step came to.
   */
  update<T>(grads: T, state: JaxState, params?: T): [updates: T, state: JaxState];
  /** The new parameters themselves, free of the rounding of a difference, and the next state. */
  apply<T>(grads: T, state: JaxState): [params: T, state: JaxState];
}

interface Weight extends Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  grad: Float32Array;
}

interface Inside {
  readonly weights: readonly Weight[];
  /** Names and places of the leaves, which trees that are passed later must have too. */
  readonly names: string;
}

/** Names by place, such as `layers.0.weight`. */
function namesOf({ nodeMetadata, childTreedefs }: JaxTreeDef, prefix = ''): string[] {
  if (childTreedefs.length === 0) return [prefix || 'param'];
  const keys = Array.isArray(nodeMetadata) ? (nodeMetadata as unknown[]).map(String) : undefined;
  return childTreedefs.flatMap((child, i) => namesOf(child, `${prefix && `${prefix}.`}${keys?.[i] ?? i}`));
}

/**
 * A gradient transformation of jax-js by one of our optimizers. Numbers are copied: jax-js has no memory to share.
 *
 *     const solver = jaxOptimizer(jax, (params) => new AdamW(params, { lr: 1e-3 }));
 *     let state = solver.init(tree.ref(params));
 *     [updates, state] = solver.update(grads, state, tree.ref(params));
 *
 * @param make makes the optimizer of parameters whose names are their places in the tree, such as `layers.0.weight`
 * @throws TypeError or RangeError in one sentence for trees of another structure, and arrays that are not float32
 */
export function jaxOptimizer(jax: Jax, make: (params: readonly Parameter[]) => Optimizer): JaxTransformation {
  const what = 'jaxOptimizer()';
  if (typeof jax?.tree?.flatten !== 'function' || typeof jax.numpy?.array !== 'function')
    throw expectedType(`jax of ${what}`, 'the package @jax-js/jax', jax);
  if (typeof make !== 'function') throw expectedType(`make of ${what}`, 'a function', make);
  const states = new WeakMap<JaxState, Inside>();

  const flatten = (tree: unknown): [JaxArray[], JaxTreeDef] =>
    jax.tree.flatten(tree as never) as [JaxArray[], JaxTreeDef];
  const array = (data: Float32Array, shape: readonly number[]): unknown =>
    jax.numpy.array(data as never, { shape: [...shape] } as never);

  /** The numbers of a tree, which is taken; `names` and shapes are those it must have. */
  function read(tree: unknown, which: string, inside: Inside): [Float32Array[], JaxTreeDef] {
    const [leaves, treedef] = flatten(tree);
    const names = namesOf(treedef).join(', ');
    if (names !== inside.names)
      throw new TypeError(`Expected ${which} to have the leaves ${inside.names} but received ${names}.`);
    leaves.forEach(({ shape }, i) => {
      const { name, shape: own } = inside.weights[i]!;
      if (shape.join() === own.join()) return;
      throw new RangeError(
        `Expected ${which} "${name}" to have shape [${own.join(', ')}] but received [${shape.join(', ')}].`,
      );
    });
    return [leaves.map((leaf, i) => numbersOf(leaf, inside.weights[i]!.name, which)), treedef];
  }

  function current(state: JaxState, method: string): Inside {
    const inside = states.get(state);
    if (inside) return inside;
    throw new Error(
      `Expected the state of ${method} to be what init() or the last update gave: the optimizer has gone on from others.`,
    );
  }

  function advance(state: JaxState, inside: Inside, grads: readonly Float32Array[]): JaxState {
    inside.weights.forEach((weight, i) => (weight.grad = grads[i]!));
    state.optimizer.step();
    const next: JaxState = Object.freeze({ optimizer: state.optimizer });
    states.delete(state);
    states.set(next, inside);
    return next;
  }

  return Object.freeze({
    init(params: unknown): JaxState {
      const [leaves, treedef] = flatten(params);
      const names = namesOf(treedef);
      const weights = leaves.map((leaf, i): Weight => {
        const { shape } = leaf;
        const data = Float32Array.from(numbersOf(leaf, names[i]!, 'params'));
        return { name: names[i]!, shape: [...shape], data, grad: new Float32Array(data.length) };
      });
      const state: JaxState = Object.freeze({ optimizer: make(weights) });
      states.set(state, { weights, names: names.join(', ') });
      return state;
    },
    update<T>(grads: T, state: JaxState, params?: T): [T, JaxState] {
      const inside = current(state, 'update()');
      const [numbers, treedef] = read(grads, 'grads', inside);
      if (params !== undefined)
        read(params, 'params', inside)[0].forEach((values, i) => inside.weights[i]!.data.set(values));
      const before = inside.weights.map(({ data }) => data.slice());
      const next = advance(state, inside, numbers);
      const updates = inside.weights.map(({ data, shape }, k) =>
        array(
          data.map((value, i) => value - before[k]![i]!),
          shape,
        ),
      );
      return [jax.tree.unflatten(treedef as never, updates as never) as T, next];
    },
    apply<T>(grads: T, state: JaxState): [T, JaxState] {
      const inside = current(state, 'apply()');
      const [numbers, treedef] = read(grads, 'grads', inside);
      const next = advance(state, inside, numbers);
      // A copy: the array of jax-js may keep what it is given.
      const params = inside.weights.map(({ data, shape }) => array(data.slice(), shape));
      return [jax.tree.unflatten(treedef as never, params as never) as T, next];
    },
  });
}

function numbersOf(leaf: JaxArray, name: string, which: string): Float32Array {
  if (typeof leaf?.dataSync !== 'function')
    throw expectedType(`${which} "${name}"`, 'an array of jax-js', leaf);
  if (String(leaf.dtype) !== 'float32')
    throw new TypeError(`Expected ${which} "${name}" to be float32 but received ${String(leaf.dtype)}.`);
  return leaf.dataSync() as Float32Array;
}
