import { Lookahead } from '../lookahead';
import { Optimizer } from '../optimizer';
import type { Parameter } from '../parameter';
import { expectedType } from '../validate';

/** The optimizer that a function made of parameters, alone or in a Lookahead; throws when it is not of all of them. */
export function innerOf(made: unknown, params: readonly Parameter[], what: string): Optimizer {
  const inner: unknown = made instanceof Lookahead ? made.inner : made;
  if (!(inner instanceof Optimizer))
    throw expectedType('what the function of Sharded makes', 'an optimizer of this package', made);
  const known = new Set<Parameter>(inner.order.map(({ parameter }) => parameter));
  const missing = params.findIndex((parameter) => !known.has(parameter));
  if (missing < 0 && known.size === params.length) return inner as Optimizer;
  const why = missing >= 0 ? `number ${missing} is missing` : 'it has others';
  inner.dispose();
  throw new RangeError(
    `Expected the function of Sharded to make an optimizer of all of ${what} it is given but ${why}.`,
  );
}
