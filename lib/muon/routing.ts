import { inspect } from 'node:util';
import { align } from '../align';
import { isEmbeddingName, isHeadName } from '../names';
import type { Identity, Parameter } from '../parameter';

/** Where a parameter goes, and the rule that sent it there. */
export interface Route {
  readonly name: string;
  readonly shape: readonly number[];
  readonly optimizer: 'muon' | 'adamw';
  readonly why: string;
}

type Verdict = Pick<Route, 'optimizer' | 'why'>;

const adamw = (why: string): Verdict => ({ optimizer: 'adamw', why });

/** Sizes of the matrix a tensor is flattened to: outputs, inputs. */
function matrixOf(shape: readonly number[], layout: Parameter['layout']): readonly [number, number] {
  const out = (layout === 'in-out' ? shape.at(-1) : shape[0]) ?? 1;
  const rest = layout === 'in-out' ? shape.slice(0, -1) : shape.slice(1);
  return [out, rest.reduce((product, size) => product * size, 1)];
}

/** Why a tensor cannot be orthogonalized as one matrix, or undefined when it can. */
function unsuitable(shape: readonly number[], layout: Parameter['layout'], name: string): string | undefined {
  if (shape.length < 2) return shape.length === 1 ? 'it has 1 axis' : 'it is a scalar';
  if (shape.includes(0)) return 'it is empty';
  const depthwise = layout === 'in-out' ? /depthwise/i.test(name) : shape.length > 2 && shape[1] === 1;
  return depthwise ? 'it is a depthwise convolution: each channel has a filter of its own' : undefined;
}

/** By role, then by name, then by shape. Throws when the role asks for what the shape does not allow. */
export function route({ role, layout }: Parameter, { name, shape }: Identity): Route {
  const verdict = ((): Verdict => {
    const problem = unsuitable(shape, layout, name);
    if (role === 'hidden') {
      if (problem === undefined) return { optimizer: 'muon', why: 'role hidden' };
      throw new RangeError(
        `Expected "${name}" to be a matrix for its role "hidden" in Muon but received shape [${shape.join(', ')}]: ${problem}.`,
      );
    }
    if (role !== undefined) return adamw(`role ${role}`);
    if (isEmbeddingName(name)) return adamw('named as an embedding');
    if (isHeadName(name)) return adamw('named as an output head');
    if (problem !== undefined) return adamw(problem.split(':')[0]!);
    const [out, inputs] = matrixOf(shape, layout);
    if (out === 1 || inputs === 1) return adamw('it is a vector: one side of its matrix is 1');
    return { optimizer: 'muon', why: `a ${out} × ${inputs} matrix` };
  })();
  return { name, shape, ...verdict };
}

/** Checks that the outputs of a matrix can be split in equal parts. */
export function checkSplit(
  { layout }: Parameter,
  { name, shape }: Identity,
  split: number,
  where: string,
): void {
  const [out] = matrixOf(shape, layout);
  if (out % split === 0) return;
  throw new RangeError(
    `Expected split of ${where} to divide the ${out} outputs of "${name}" but received ${split}.`,
  );
}

/** Routes as a list that prints as a table. */
export class Routing extends Array<Route> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  override toString(): string {
    const rows = [
      ['name', 'shape', 'optimizer', 'why'],
      ...this.map(({ name, shape, optimizer, why }) => [name, `[${shape.join(', ')}]`, optimizer, why]),
    ];
    return align(rows, [0, 1, 2, 3]).join('\n');
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
