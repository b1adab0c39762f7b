import fs from 'node:fs';
import path from 'node:path';
import { packageTree, typeCheck } from './package-tree';
import { root, runNode, writeFiles } from './scratch';

const directory = packageTree();
const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');

describe('the README', () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';

  test('has an example of at most 12 lines', () => {
    const lines = example.trim().split('\n');
    expect(lines.length).toBeGreaterThan(4);
    expect(lines.length).toBeLessThanOrEqual(12);
  });

  test('has an example that type-checks and runs as it stands', () => {
    writeFiles(directory, { 'example.mts': example });
    expect(typeCheck(directory, ['example.mts'])).toEqual({ status: 0, output: '' });
    const { status, output } = runNode(['example.mjs'], directory);
    expect({ status, output }).toMatchObject({ status: 0 });
    // It fits a line through points of y = 2x + 1 and prints what it found.
    expect(output).toMatch(/2\.00.* 1\.00/);
  }, 60_000);
});
