import { integerFrom } from '../fields';
import { expectedType } from '../validate';

/**
 * The value of a hyper-parameter at a step. Step 0 is the optimizer's first; a schedule is a pure function of the step,
 * defined and finite for every integer >= 0.
 */
export type Schedule = (step: number) => number;

const checkStep = integerFrom(0);

/** Makes a schedule of a formula that may take its step for granted. */
export function schedule(value: (step: number) => number): Schedule {
  return (step) => value(checkStep(step, 'step of a schedule'));
}

export function checkSchedule(value: unknown, what: string): Schedule {
  if (typeof value !== 'function') throw expectedType(what, 'a function of the step', value);
  return value as Schedule;
}

/** From `start` to `end` as `part` goes from 0 to 1: exact at both ends, between them elsewhere. */
export function blend(start: number, end: number, part: number): number {
  return start === end ? start : (1 - part) * start + part * end;
}

/** Falls from 1 to 0 along half a cosine as `part` goes from 0 to 1. */
export const halfCosine = (part: number): number => (1 + Math.cos(Math.PI * part)) / 2;
