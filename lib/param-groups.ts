import { atLeast0, flag, read } from './fields';
import { listOf } from './group';
import { isEmbeddingName, isNormOrBiasName } from './names';
import { ParamGroupList, type GroupEntry } from './param-group-list';
import type { Parameter } from './parameter';
import { expectedType } from './validate';

/**
 * Which parameters a rule is for: a whole name in which `*` stands for any characters and `?` for one, a regular
 * expression that is searched in the name, or a function. A parameter without a name is matched by functions only.
 */
export type ParamPattern = RegExp | string | ((parameter: Parameter) => boolean);

/** Rules in the order in which they are tried: pairs of a pattern and a group's options, or an object by name pattern. */
export type ParamRules<O extends object> =
  Readonly<Record<string, O>> | readonly (readonly [ParamPattern, O])[];

export interface NoDecayOptions {
  /** Weight decay of the decayed parameters; >= 0. @default the optimizer's */
  weightDecay?: number | undefined;
  /** Leave embeddings without decay too. @default true */
  embeddings?: boolean | undefined;
  /** More parameters without decay; each pattern must match one. @default [] */
  also?: readonly ParamPattern[] | undefined;
}

export interface GroupsByNameOptions<O extends object> {
  /** Options of the parameters that no rule matches. @default the optimizer's */
  rest?: O | undefined;
  /** Accept a rule that no parameter goes to. @default false */
  allowUnmatched?: boolean | undefined;
}

/** One rule, ready to be used. */
interface Rule {
  /** As it was given, for messages and for the table. */
  readonly text: string;
  readonly matches: (parameter: Parameter) => boolean;
}

/**
 * Two groups for any optimizer: parameters with weight decay, and those without. Without are: all of fewer than two
 * dimensions (biases, gains of norms, and what has no `shape`), the roles 'vector' and 'embedding', and, where there is
 * no role, what its name says is a bias, a gain or an embedding. Print the result to see what went where. A group that
 * would be empty is left out.
 *
 *     new AdamW(noDecay(params, { weightDecay: 0.1 }), { lr: 3e-4 })
 */
export function noDecay(
  params: Iterable<Parameter>,
  options: NoDecayOptions = {},
): ParamGroupList<{ weightDecay?: number }> {
  const { weightDecay, embeddings, also } = read<{
    weightDecay: number | null;
    embeddings: boolean;
    also: readonly Rule[];
  }>(options, 'noDecay', {
    weightDecay: { check: (value, what) => (value === undefined ? null : atLeast0(value, what)) },
    embeddings: { check: flag, fallback: true },
    also: { check: rulesOf, fallback: [] },
  });
  const list = parametersOf(params, 'params of noDecay');
  for (const rule of also) if (!list.some(rule.matches)) throw unmatched(`${rule.text} in also of noDecay`);
  const isFree = (parameter: Parameter): boolean => {
    const { name = '', shape, role } = parameter;
    if ((shape?.length ?? 1) < 2 || role === 'vector') return true;
    if (role === undefined && isNormOrBiasName(name)) return true;
    if (embeddings && (role === undefined ? isEmbeddingName(name) : role === 'embedding')) return true;
    return also.some((rule) => rule.matches(parameter));
  };
  const free = new Set(list.filter(isFree));
  return groupList<{ weightDecay?: number }>([
    {
      label: 'decay',
      params: list.filter((p) => !free.has(p)),
      options: weightDecay === null ? {} : { weightDecay },
    },
    { label: 'no decay', params: list.filter((p) => free.has(p)), options: { weightDecay: 0 } },
  ]);
}

/**
 * One group a rule, for any optimizer: every parameter goes to the first rule that matches it, and those that none
 * matches to a last group. A rule that gets no parameter is an error, since it is mostly a misspelled name. Print the
 * result to see what went where. A group that would be empty is left out.
 *
 *     new AdamW(groupsByName(params, { 'h.0.*': { lr: 1e-5 }, '*.bias': { weightDecay: 0 } }), { lr: 1e-4 })
 */
export function groupsByName<O extends object>(
  params: Iterable<Parameter>,
  rules: ParamRules<O>,
  options: GroupsByNameOptions<O> = {},
): ParamGroupList<O> {
  const { rest, allowUnmatched } = read<{ rest: Partial<O>; allowUnmatched: boolean }>(
    options,
    'groupsByName',
    {
      rest: { check: (value, what) => optionsOf(value, what), fallback: {} },
      allowUnmatched: { check: flag, fallback: false },
    },
  );
  const entries = entriesOf(rules).map(([pattern, given], i): [Rule, GroupEntry<O>] => {
    const rule = ruleOf(pattern, `the pattern of rule ${i} of groupsByName`);
    const checked = optionsOf(given, `options of rule ${rule.text} of groupsByName`) as Partial<O>;
    return [rule, { label: rule.text, params: [], options: checked }];
  });
  const others: GroupEntry<O> = { label: 'rest', params: [], options: rest };
  const list = parametersOf(params, 'params of groupsByName');
  for (const parameter of list) {
    const entry = entries.find(([rule]) => rule.matches(parameter))?.[1] ?? others;
    entry.params.push(parameter);
  }
  for (const [rule, { params: own }] of entries) {
    if (own.length > 0 || allowUnmatched) continue;
    throw unmatched(`rule ${rule.text} of groupsByName`, list.some(rule.matches));
  }
  return groupList([...entries.map(([, entry]) => entry), others]);
}

const groupList = <O extends object>(entries: readonly GroupEntry<O>[]): ParamGroupList<O> =>
  ParamGroupList.fromEntries(entries.filter(({ params }) => params.length > 0));

function unmatched(what: string, taken = false): RangeError {
  const why = taken ? 'earlier rules took all that it matches' : 'it matches none';
  return new RangeError(`Expected ${what} to get at least one parameter but ${why}.`);
}

function parametersOf(given: unknown, what: string): Parameter[] {
  const list = listOf<Parameter>(given, what);
  list.forEach((entry, i) => {
    if (typeof entry !== 'object' || entry === null || !('data' in entry))
      throw expectedType(`entry ${i} of ${what}`, 'a parameter with data', entry);
  });
  return list;
}

function entriesOf(rules: unknown): (readonly [unknown, unknown])[] {
  const what = 'rules of groupsByName';
  const expected = 'an array of [pattern, options] or an object by name pattern';
  if (typeof rules !== 'object' || rules === null) throw expectedType(what, expected, rules);
  if (!Array.isArray(rules)) return Object.entries(rules);
  for (const rule of rules as unknown[]) {
    if (!Array.isArray(rule) || rule.length !== 2) throw expectedType(what, expected, rule);
  }
  return rules as [unknown, unknown][];
}

function optionsOf(value: unknown, what: string): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw expectedType(what, 'an object of options', value);
  if ('params' in value) throw new TypeError(`Expected ${what} to hold options only but received params.`);
  return value;
}

function rulesOf(value: unknown, what: string): readonly Rule[] {
  if (!Array.isArray(value)) throw expectedType(what, 'an array of patterns', value);
  return value.map((entry: unknown, i) => ruleOf(entry, what.replace(' of', `[${i}] of`)));
}

function ruleOf(pattern: unknown, what: string): Rule {
  const byName = (text: string, expression: RegExp): Rule => ({
    text,
    matches: ({ name }) => name !== undefined && expression.test(name),
  });
  if (typeof pattern === 'string' && pattern !== '') {
    const escaped = pattern.replace(/[\\^$.+()|[\]{}]/g, '\\$&');
    return byName(
      JSON.stringify(pattern),
      new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's'),
    );
  }
  // With the flags g and y an expression would go on where it last stopped.
  if (pattern instanceof RegExp)
    return byName(String(pattern), new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')));
  if (typeof pattern === 'function') {
    const matches = pattern as (parameter: Parameter) => unknown;
    return { text: pattern.name || 'a function', matches: (parameter) => Boolean(matches(parameter)) };
  }
  throw expectedType(what, 'a name, a RegExp or a function', pattern);
}
