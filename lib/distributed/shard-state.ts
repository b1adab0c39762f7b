import type { StateArray } from '../dtypes';
import { elementsOfScale } from '../formats';
import type { StateDict, TensorState } from '../state-dict';
import { gatherTexts } from './agreement';
import { sum } from './owners';
import type { Shares } from './shares';

/** Elements [begin, end) of a state. */
export type Range = readonly [begin: number, end: number];

const arrays = { Float32Array, Float64Array, Uint16Array, Uint8Array };
type Kind = keyof typeof arrays;

/** What a rank says of its part of a tensor's state. */
interface Told {
  readonly numbers: Readonly<Record<string, number>>;
  /** Kind and length of its arrays. */
  readonly arrays: Readonly<Record<string, readonly [Kind, number]>>;
}

const isArray = (value: unknown): value is StateArray => ArrayBuffer.isView(value);

function told({ shape: _, ...state }: TensorState): Told {
  const entries = Object.entries(state);
  return {
    numbers: Object.fromEntries(
      entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    ),
    arrays: Object.fromEntries(
      entries.flatMap(([name, value]) =>
        isArray(value) ? [[name, [value.constructor.name as Kind, value.length]] as const] : [],
      ),
    ),
  };
}

/** The state dict of one process, out of the parts of all ranks; every rank gets it. */
export async function gatherDict({ comm, list }: Shares, own: StateDict): Promise<StateDict> {
  const mine = list.map(({ slot: { name }, own: piece }) => (piece ? told(own.state[name]!) : null));
  const all = (await gatherTexts(comm, JSON.stringify(mine))).map(
    (text) => JSON.parse(text) as (Told | null)[],
  );
  const state: [string, TensorState][] = [];
  for (const [i, { slot, pieces }] of list.entries()) {
    const first = all[pieces[0]!.rank]![i]!;
    const entry: Record<string, unknown> = { ...first.numbers };
    for (const [field, [kind]] of Object.entries(first.arrays)) {
      const counts = all.map((told) => told[i]?.arrays[field]?.[1] ?? 0);
      const whole = new arrays[kind](sum(counts));
      const part = (own.state[slot.name]?.[field] as StateArray | undefined) ?? new arrays[kind](0);
      await comm.allGather(counts[comm.rank] === 0 ? new arrays[kind](0) : part, whole, { counts });
      entry[field] = whole;
    }
    state.push([slot.name, { ...entry, shape: [...slot.shape] } as unknown as TensorState]);
  }
  return { ...own, state: Object.fromEntries(state) };
}

/** What a rank's part of an array is, whose elements stand for as many of the tensor: 8-bit states have scales too. */
function partOf(array: StateArray, length: number, [begin, end]: Range, from: number): StateArray {
  const per = array.length === length ? 1 : elementsOfScale;
  return array.slice(Math.ceil((begin - from) / per), Math.ceil((end - from) / per));
}

/** Where a dict's arrays of a tensor begin and end in it; the whole of it where it is that of one process. */
export type RangeOf = (name: string) => Range | undefined;

/** A rank's dict, out of dicts that together hold what it needs. Throws when they do not. */
export function dictFor(
  { list }: Shares,
  parts: readonly { readonly dict: StateDict; readonly rangeOf: RangeOf }[],
): StateDict {
  const { state: _, ...common } = parts[0]!.dict;
  const names = new Set(list.map(({ slot: { name } }) => name));
  const extra = parts.flatMap(({ dict }) => Object.keys(dict.state)).filter((name) => !names.has(name));
  const state: Record<string, TensorState> = Object.fromEntries(
    extra.map((name) => [name, parts.find(({ dict }) => name in dict.state)!.dict.state[name]!]),
  );
  for (const { slot, own } of list) {
    const { name, shape, length } = slot;
    const holders = parts.filter(({ dict, rangeOf }) => Object.hasOwn(dict.state, name) && rangeOf(name));
    const known = holders[0]?.dict.state[name];
    // Whose it is not has nothing of it; only that the checkpoint has it is checked.
    if (!own) {
      if (known) state[name] = { shape: known.shape, step: 0 };
      else if (parts.some(({ rangeOf }) => rangeOf(name))) state[name] = { shape, step: 0 };
      continue;
    }
    if (!known) continue;
    const wanted: Range = [own.begin, own.end];
    const pieces = holders
      .map(({ dict, rangeOf }) => ({ entry: dict.state[name]!, range: rangeOf(name)! }))
      .sort((a, b) => a.range[0] - b.range[0]);
    const entry: Record<string, unknown> = {};
    for (const [field, value] of Object.entries(known)) {
      if (!isArray(value)) {
        entry[field] = value;
        continue;
      }
      // What is not as long as it should be is left for loadStateDict to say.
      const cut = pieces.flatMap(({ entry: from, range: [begin, end] }) => {
        const array = from[field];
        const range: Range = [Math.max(begin, wanted[0]), Math.min(end, wanted[1])];
        return isArray(array) && range[0] < range[1] ? [partOf(array, end - begin, range, begin)] : [];
      });
      entry[field] = joined(cut, value);
    }
    const covered = pieces.reduce(
      (known, { range: [begin, end] }) =>
        known + Math.max(0, Math.min(end, wanted[1]) - Math.max(begin, wanted[0])),
      0,
    );
    if (covered !== wanted[1] - wanted[0])
      throw new RangeError(
        `Expected the checkpoint to hold elements ${wanted[0]} to ${wanted[1]} of "${name}" (${length} elements) but ` +
          `${wanted[1] - wanted[0] - covered} are missing.`,
      );
    state[name] = entry as unknown as TensorState;
  }
  return { ...common, state };
}

function joined(parts: readonly StateArray[], like: StateArray): StateArray {
  if (parts.length === 1) return parts[0]!;
  const whole = new arrays[like.constructor.name as Kind](sum(parts.map(({ length }) => length)));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
