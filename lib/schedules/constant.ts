import { finite } from '../fields';
import { schedule, type Schedule } from './schedule';

/** The same value at every step. */
export function constant(value: number): Schedule {
  finite(value, 'value of schedules.constant');
  return schedule(() => value);
}
