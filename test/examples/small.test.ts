/** Real runs of the examples that are one file. */
import path from 'node:path';
import { backends } from 'fused-optim';
import { noCuda } from '../helpers/cuda';
import { noMpi, runRanks } from '../helpers/mpi';
import { root, runNode } from '../house/scratch';

const example = (name: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) =>
  runNode(
    ['-r', 'ts-node/register/transpile-only', path.join('examples', name, 'main.ts'), ...args],
    root,
    env,
  );

test('logistic-regression learns', () => {
  const { status, output } = example('logistic-regression');
  expect({ status, output }).toMatchObject({ status: 0 });
  const losses = [...output.matchAll(/^step \d+: loss (\d\.\d+)$/gm)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(4);
  expect(losses).toEqual([...losses].sort((a, b) => b - a));
  const share = Number(/^([\d.]+) % of 500 points are right$/m.exec(output)?.[1]);
  expect(share).toBeGreaterThan(95);
}, 60_000);

(noMpi ? test.skip : test).each([1, 2, 3])(
  `distributed learns the same on every rank of %i${noMpi && ` (skipped: ${noMpi})`}`,
  (size) => {
    const file = path.join('examples', 'distributed', 'main.ts');
    const { status, output } = runRanks(size, ['-r', 'ts-node/register/transpile-only', file], root, {}, 110);
    expect({ status, output }).toMatchObject({ status: 0 });
    const losses = [...output.matchAll(/^step \d+: loss (\d\.\d+)\r?$/gm)].map(([, loss]) => Number(loss));
    expect(losses).toHaveLength(4);
    expect(losses).toEqual([...losses].sort((a, b) => b - a));
    expect(Number(/^([\d.]+) % of 600 points are right/m.exec(output)?.[1])).toBeGreaterThan(95);
    const ranks = [...output.matchAll(/^rank \d of \d: (.*); (\d+) bytes of state/gm)];
    expect(ranks).toHaveLength(size);
    expect(new Set(ranks.map(([, weights]) => weights)).size).toBe(1);
    expect(ranks.reduce((sum, [, , bytes]) => sum + Number(bytes), 0)).toBe(2 * 4 * 4);
  },
  120_000,
);
if (noMpi) process.stderr.write(`Not tested: the example distributed (${noMpi}).\n`);

test('cuda-step says why it is skipped where there is no GPU', () => {
  const { status, output } = example('cuda-step', ['5'], { FUSED_OPTIM_CUDA_ADDON: '/nowhere.node' });
  expect(output).toMatch(/^cuda-step: skipped, no CUDA addon .*\n +\/nowhere\.node: no such file/);
  expect(status).toBe(0);
}, 60_000);

(noCuda ? test.skip : test)(
  `cuda-step has the bits of the CPU${noCuda && ` (skipped: ${noCuda})`}`,
  () => {
    const addon = backends().cuda.binary!;
    const { status, output } = example('cuda-step', ['5'], { FUSED_OPTIM_CUDA_ADDON: addon });
    expect({ status, output }).toMatchObject({ status: 0 });
    expect(output).toMatch(/^\w.*, compute capability \d+\.\d+, driver [\d.]+\n/);
    expect(output).toContain('5 steps of 32768 elements: the bits of the CPU\n');
  },
  60_000,
);
if (noCuda) process.stderr.write(`Not tested: cuda-step on CUDA (${noCuda}).\n`);
