import fs from 'node:fs';
import path from 'node:path';
import { schedules, type Schedule } from 'fused-optim';

const text = fs.readFileSync(path.join(__dirname, '..', '..', 'docs', 'schedules.md'), 'utf8');
type Make = (options: Readonly<Record<string, unknown>>) => Schedule;
const make = schedules as unknown as Readonly<Record<string, Make>>;
const combined = ['constant', 'join', 'scaled', 'warmup'];

/** Rows of the table: a schedule, its required options, and the others with their defaults. */
const rows = [...text.matchAll(/^\| `(\w+)` +\| (`initValue|`peakValue|`totalSteps)(.*?)\|/gm)].map(
  ([, name, first, rest]) => {
    const options = [...`${first}${rest}`.matchAll(/`(\w+)(?: = ([^`]+))?`/g)];
    const required = options.filter(([, , value]) => value === undefined).map(([, option]) => option!);
    const defaults = options
      .filter(([, , value]) => value !== undefined)
      .map(([, option, value]) => [option!, JSON.parse(value!.replaceAll("'", '"')) as unknown] as const);
    return { name: name!, required, defaults };
  },
);

/** Good values of required options. */
const values: Readonly<Record<string, unknown>> = {
  initValue: 2,
  endValue: 1,
  peakValue: 2,
  decayRate: 0.9,
  milestones: [3, 5],
};

function message(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

test('docs/schedules.md names every schedule', () => {
  const simple = Object.keys(schedules).filter((name) => !combined.includes(name));
  expect(rows.map(({ name }) => name).sort()).toEqual(simple.sort());
  for (const name of combined) expect(text).toContain(`\`${name}(`);
});

test.each(rows)('docs/schedules.md knows the options of $name and their defaults', (row) => {
  const { name, required, defaults } = row;
  const known = /its options are (.*)\.$/.exec(message(() => make[name]!({ zzzzzzzzzzzz: 1 })))![1]!;
  expect(known.split(', ').sort()).toEqual([...required, ...defaults.map(([option]) => option)].sort());
  const least = Object.fromEntries(required.map((option) => [option, values[option] ?? 12]));
  const [implicit, explicit] = [
    make[name]!(least),
    make[name]!({ ...least, ...Object.fromEntries(defaults) }),
  ];
  for (let step = 0; step < 60; ++step) expect(explicit(step)).toBe(implicit(step));
  for (const option of required) {
    expect(message(() => make[name]!({ ...least, [option]: undefined }))).toContain(`Expected ${option} of`);
  }
});
