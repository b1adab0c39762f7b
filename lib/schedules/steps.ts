import { finite, integerFrom, read } from '../fields';
import { expectedRange, expectedType, numberWhere } from '../validate';
import { schedule, type Schedule } from './schedule';

export interface StepOptions {
  /** Value of the first `stepSize` steps; finite. */
  initValue: number;
  /** Steps between two changes; an integer >= 1. */
  stepSize: number;
  /** Factor of each change; in [0, 1]. @default 0.1 */
  gamma?: number | undefined;
}

export interface MultiStepOptions {
  /** Value before the first milestone; finite. */
  initValue: number;
  /** Steps at which the value changes; integers >= 0 in ascending order. One that is listed twice counts twice. */
  milestones: readonly number[];
  /** Factor of each change; >= 0. @default 0.1 */
  gamma?: number | undefined;
}

/** `initValue · gamma^⌊step / stepSize⌋`. */
export function step(options: StepOptions): Schedule {
  const { initValue, stepSize, gamma } = read<StepOptions>(options, 'schedules.step', {
    initValue: { check: finite },
    stepSize: { check: integerFrom(1) },
    gamma: { check: numberWhere('a number in [0, 1]', (v) => v >= 0 && v <= 1), fallback: 0.1 },
  });
  return schedule((t) => initValue * gamma ** Math.floor(t / stepSize));
}

/** `initValue · gamma^n`, where n is the number of milestones reached. */
export function multiStep(options: MultiStepOptions): Schedule {
  const where = 'schedules.multiStep';
  const { initValue, milestones, gamma } = read<MultiStepOptions>(options, where, {
    initValue: { check: finite },
    milestones: { check: ascending },
    gamma: { check: numberWhere('a finite number >= 0', (v) => v >= 0), fallback: 0.1 },
  });
  const last = initValue * gamma ** milestones.length;
  if (!Number.isFinite(last)) throw expectedRange(`the last value of ${where}`, 'a finite number', last);
  return schedule((t) => initValue * gamma ** milestones.filter((milestone) => milestone <= t).length);
}

const wholeSteps = integerFrom(0);

/** A copy of a list of steps in ascending order. */
export function ascending(value: unknown, what: string): readonly number[] {
  if (!Array.isArray(value)) throw expectedType(what, 'an array of steps', value);
  const list = value.map((entry: unknown, i) => wholeSteps(entry, what.replace(' of', `[${i}] of`)));
  for (let i = 1; i < list.length; ++i) {
    if (list[i]! < list[i - 1]!) throw expectedRange(what, 'in ascending order', `[${list.join(', ')}]`);
  }
  return Object.freeze(list);
}
