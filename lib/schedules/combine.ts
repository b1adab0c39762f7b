import { finite } from '../fields';
import { expectedRange, expectedType } from '../validate';
import { ascending } from './steps';
import { checkSchedule, schedule, type Schedule } from './schedule';

/**
 * Schedules one after another: the first up to the first boundary, and each later one from its boundary on, where it
 * begins with its own step 0.
 *
 * @param boundaries steps, one fewer than schedules, in ascending order
 */
export function join(schedules: readonly Schedule[], boundaries: readonly number[]): Schedule {
  const where = 'schedules.join';
  if (!Array.isArray(schedules) || schedules.length === 0)
    throw expectedType(`schedules of ${where}`, 'an array of schedules', schedules);
  const list = schedules.map((entry: unknown, i) => checkSchedule(entry, `schedules[${i}] of ${where}`));
  const starts = [0, ...ascending(boundaries, `boundaries of ${where}`)];
  if (starts.length !== list.length) {
    const expected = `${list.length - 1} for ${list.length} schedules`;
    throw expectedRange(`the number of boundaries of ${where}`, expected, starts.length - 1);
  }
  return schedule((step) => {
    const index = starts.findLastIndex((start) => start <= step);
    return list[index]!(step - starts[index]!);
  });
}

/** A schedule times a constant, as for a group that learns at a tenth of the rate. */
export function scaled(of: Schedule, factor: number): Schedule {
  const inner = checkSchedule(of, 'schedule of schedules.scaled');
  finite(factor, 'factor of schedules.scaled');
  return schedule((step) => factor * inner(step));
}
