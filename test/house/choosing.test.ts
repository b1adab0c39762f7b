import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import * as library from 'fused-optim';
import { AdamW, Lookahead, Optimizer, type Parameter } from 'fused-optim';
import { root } from './scratch';

const text = fs.readFileSync(path.join(root, 'docs', 'choosing.md'), 'utf8');
const start = text.indexOf('\n| class');
/** Of each class: what for, bytes, start with, beside AdamW, when not. */
const rows = text
  .slice(start + 1)
  .split('\n\n')[0]!
  .split('\n')
  .slice(2)
  .map((line) => line.slice(1, -1).split(' | '))
  .map(([name, ...cells]) => ({
    name: name!.replaceAll('`', '').trim(),
    cells: cells.map((cell) => cell.trim()),
  }));

type OptimizerClass = new (params: Parameter[], options?: object) => Optimizer;
const isOptimizer = (value: unknown): boolean =>
  typeof value === 'function' && value.prototype instanceof Optimizer;
const parameter = (): Parameter => ({
  shape: [32, 32],
  data: new Float32Array(1024),
  grad: new Float32Array(1024).fill(1),
});

test('docs/choosing.md has a row of every optimizer, and of Lookahead', () => {
  const names = Object.entries(library).flatMap(([name, value]) => (isOptimizer(value) ? [name] : []));
  expect(rows.map(({ name }) => name).sort()).toEqual([...new Set([...names, 'Lookahead'])].sort());
  for (const { cells } of rows) {
    expect(cells).toHaveLength(5);
    expect(cells).not.toContain('');
  }
});

test.each(rows)(
  '$name takes what it is to start with, and keeps the bytes that are said',
  ({ name, cells }) => {
    const [, bytes, options] = cells as [string, string, string];
    const given = vm.runInNewContext(`(${options.replaceAll('`', '')})`) as object;
    const plain = { ...given };
    const tensor = parameter();
    const inner = new AdamW([tensor]);
    const optimizer =
      name === 'Lookahead'
        ? new Lookahead(inner, plain)
        : new (library as unknown as Record<string, OptimizerClass>)[name]!([tensor], plain);
    optimizer.step();
    const own = name === 'Lookahead' ? 8 * 1024 : 0;
    expect((optimizer.stateBytes() - own) / 1024).toBe(Number(bytes));
  },
);

test('every source has a number that the page refers to', () => {
  const [body, sources] = text.split('## Sources') as [string, string];
  const numbered = [...sources.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
  const cited = [...body.matchAll(/\[(\d+(?:, \d+)*)\](?!\()/g)].flatMap(([, list]) =>
    list!.split(', ').map(Number),
  );
  expect([...new Set(cited)].sort((a, b) => a - b)).toEqual(numbered);
});
