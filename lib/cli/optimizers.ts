/** The optimizers that commands run: every class the library has. */
import * as library from '../index';

/** Lookahead is none of the class Optimizer. */
export type Made = library.Optimizer | library.Lookahead;
type Make = (params: library.Parameter[], options: object) => Made;
type AnyClass = new (params: library.Parameter[], options: object) => library.Optimizer;

function isOptimizer(value: unknown): value is AnyClass {
  return typeof value === 'function' && value.prototype instanceof library.Optimizer;
}

const known = Object.entries(library).flatMap(([name, Class]: [string, unknown]): [string, Make][] =>
  isOptimizer(Class) ? [[name, (params, options) => new Class(params, options)]] : [],
);

/** By name; `Lookahead` is one around AdamW. */
export const optimizers: ReadonlyMap<string, Make> = new Map<string, Make>([
  ...known,
  ['Lookahead', (params, options) => new library.Lookahead(new library.AdamW(params, options))],
]);
