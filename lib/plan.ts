import type { Composite } from './algorithm';
import type { Group } from './group';
import { describe, expectedRange, expectedType, onlyKnown } from './validate';

/** A value for each step: called with the number of steps applied so far, 0 at the first. */
export type ScheduleOf<T> = (step: number) => T;

/** Schedules by option. Muon's AdamW groups have theirs under `adamw`. */
export type GroupSchedules<O extends object> = {
  readonly [K in keyof O]?: Exclude<O[K], undefined> extends
    readonly unknown[] | number | boolean | string | null
    ? ScheduleOf<Exclude<O[K], undefined>> | null
    : GroupSchedules<Exclude<O[K], undefined> & object>;
};

type Functions = Readonly<Record<string, ScheduleOf<unknown> | null>>;

interface Entry {
  /** The group, or every group of the part. */
  readonly group: number | undefined;
  readonly part: string;
  readonly option: string;
  readonly schedule: ScheduleOf<unknown> | null;
}

/** Which option follows which schedule. */
export class Plan {
  #entries: Entry[] = [];

  /** Checks everything, then takes it over. */
  set(
    given: Readonly<Record<string, unknown>>,
    group: number | undefined,
    groups: readonly Group[],
    { className, parts }: Composite,
  ): void {
    if (typeof given !== 'object' || given === null)
      throw expectedType(`schedules of ${className}`, 'an object of functions by option', given);
    if (group !== undefined && !groups[group])
      throw expectedRange(
        `group of ${className}`,
        `an integer in [0, ${groups.length - 1}]`,
        describe(group),
      );
    const own = group === undefined ? parts[0]! : groups[group]!.algorithm;
    const nested = parts.filter(({ tag }) => tag !== undefined && tag !== own.tag && group === undefined);
    const added: Entry[] = [];
    const add = (functions: Functions, part: Composite['parts'][number]): void => {
      const where = `the schedules of ${part.className}`;
      const algorithm = groups.find((g) => g.algorithm.rule === part.rule)?.algorithm;
      onlyKnown(functions, algorithm?.optionNames ?? Object.keys(part.options), where);
      for (const [option, schedule] of Object.entries(functions)) {
        if (schedule !== null && typeof schedule !== 'function')
          throw expectedType(`the schedule of ${option} of ${className}`, 'a function of the step', schedule);
        added.push({ group, part: part.rule, option, schedule });
      }
    };
    const mine = Object.fromEntries(
      Object.entries(given).filter(([name]) => !nested.some(({ tag }) => tag === name)),
    );
    add(mine as Functions, own);
    for (const part of nested) {
      const functions = given[part.tag!];
      if (functions !== undefined) add(functions as Functions, part);
    }
    const replaced = (entry: Entry): boolean =>
      added.some((a) => a.group === entry.group && a.part === entry.part && a.option === entry.option);
    this.#entries = [...this.#entries.filter((entry) => !replaced(entry)), ...added].filter(
      ({ schedule }) => schedule !== null,
    );
    // Where a group has a schedule of its own, it comes last and wins.
    this.#entries.sort((a, b) => Number(a.group !== undefined) - Number(b.group !== undefined));
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Writes the scheduled options of the coming step into the live groups; they are checked as any assignment is. */
  apply(step: number, groups: readonly Group[]): void {
    for (const { group, part, option, schedule } of this.#entries) {
      const value = schedule!(step);
      groups.forEach(({ live, algorithm }, index) => {
        if (group === undefined ? algorithm.rule === part : index === group) live[option] = value;
      });
    }
  }
}
