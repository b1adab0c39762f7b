import { CudaPlacement } from '../cuda/placement';
import { defaultStream, type CudaStream } from '../cuda/stream';
import { Lookahead } from '../lookahead';
import { Optimizer } from '../optimizer';
import type { Parameter } from '../parameter';
import { expectedType } from '../validate';
import type { Communicator } from './communicator';

/** Throws for what is no communicator, in a constructor's sentence. */
export function checkCommunicator(comm: unknown, className: string): asserts comm is Communicator {
  const { allReduce } = (comm ?? {}) as Partial<Communicator>;
  if (typeof comm === 'object' && typeof allReduce === 'function') return;
  throw expectedType(`the first argument of ${className}`, 'a communicator, as mpi() makes one,', comm);
}

/** Copies are made in the stream that `cuda` uses: what comes before and after them has to be in it too. */
export function checkStreams(comm: Communicator, { placement }: Optimizer): void {
  if (!(placement instanceof CudaPlacement)) return;
  const usual = defaultStream(placement.device);
  const { stream = usual } = comm as { readonly stream?: CudaStream };
  const other =
    placement.stream !== usual ? 'an optimizer' : stream !== usual ? 'the communicator' : undefined;
  if (other === undefined) return;
  throw new TypeError(`Expected stream of ${other} in Sharded to be left out but received one.`);
}

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
