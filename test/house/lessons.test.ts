import fs from 'node:fs';
import path from 'node:path';
import { root } from './scratch';

const read = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');

/** Rows of the table: number, complaint, answer, tests. */
const rows = read('docs/lessons.md')
  .split('\n')
  .filter((line) => /^\| +\d+ /.test(line))
  .map((line) => line.slice(1, -1).split(' | '))
  .map(([number, complaint, answer, tests]) => ({
    number: Number(number),
    complaint: complaint!,
    answer: answer!,
    tests: [...tests!.matchAll(/\[([^\]]+)\]\(\.\.\/([^)]+)\) "([^"]+)"/g)].map(([, shown, file, title]) => ({
      shown: shown!,
      file: file!,
      title: title!,
    })),
  }));

test('docs/lessons.md has 25 complaints, in order', () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
});

describe.each(rows)('complaint $number', ({ complaint, answer, tests }) => {
  test('links a thread, and is answered', () => {
    expect(complaint).toMatch(/\]\(https:\/\/github\.com\/[\w.-]+\/[\w.-]+\/(issues|pull)\/\d+\)/);
    expect(answer.trim()).not.toBe('');
  });

  test('names tests that are there, by their titles', () => {
    expect(tests).not.toEqual([]);
    for (const { shown, file, title } of tests) {
      expect(`test/${shown}`).toBe(file);
      // A title, or the name of a golden case, which a test of the optimizer declares as its title.
      const literals = ["'", '"', '`'].map((quote) => `${quote}${title.replaceAll("\\'", "'")}${quote}`);
      expect({ file, title, found: literals.some((literal) => read(file).includes(literal)) }).toEqual({
        file,
        title,
        found: true,
      });
    }
  });
});
