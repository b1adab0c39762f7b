import { inspect } from 'node:util';
import { align } from './align';
import type { ParamGroupInit } from './group';
import type { Parameter } from './parameter';

/** One group to be, with what the table calls it. */
export interface GroupEntry<O extends object> {
  readonly label: string;
  readonly params: Parameter[];
  readonly options: Partial<O>;
}

/** A group whose parameters can be counted. */
export type ListedGroup<O extends object> = ParamGroupInit<O> & { readonly params: readonly Parameter[] };

/** What groups are called. Groups themselves hold parameters and options only, as optimizers expect them. */
const labels = new WeakMap<object, string>();

/** Groups as any optimizer takes them, which print as a table: options, parameters, elements and first names. */
export class ParamGroupList<O extends object = object> extends Array<ListedGroup<O>> {
  /** `map` and the like give plain arrays: what is in those need not be groups. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  /** @internal */
  static fromEntries<O extends object>(entries: readonly GroupEntry<O>[]): ParamGroupList<O> {
    const list = new ParamGroupList<O>();
    for (const { label, params, options } of entries) {
      const group = { params, ...options } as ListedGroup<O>;
      labels.set(group, label);
      list.push(group);
    }
    return list;
  }

  override toString(): string {
    return table(this);
  }

  [inspect.custom](): string {
    return table(this);
  }
}

const count = (value: number): string => value.toLocaleString('en-US');

const elementsOf = ({ shape, data }: Parameter): number =>
  shape ? shape.reduce((product, size) => product * size, 1) : data.length;

function optionText(group: object): string {
  const texts = Object.entries(group)
    .filter(([name, value]) => name !== 'params' && value !== undefined)
    .map(([name, value]) => `${name} ${inspect(value, { breakLength: Infinity })}`);
  return texts.join(', ') || '-';
}

function table(groups: ParamGroupList): string {
  let index = 0;
  const rows = groups.map((group, i) => {
    // The optimizer counts nameless parameters in this order too.
    const names = group.params.map(({ name }, k) => name ?? `param.${index + k}`);
    index += names.length;
    const shown = names.slice(0, 3).join(', ') + (names.length > 3 ? ', …' : '');
    const elements = group.params.reduce((sum, parameter) => sum + elementsOf(parameter), 0);
    return [
      labels.get(group) ?? `group ${i}`,
      optionText(group),
      count(names.length),
      count(elements),
      shown,
    ];
  });
  const lines = [['group', 'options', 'parameters', 'elements', 'names'], ...rows];
  return align(lines, [0, 1, 4]).join('\n');
}
