import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { main, table, type ShardedReport } from '../../bench/sharded';
import { noMpi } from '../helpers/mpi';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-bench-sharded-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

if (noMpi) process.stderr.write(`Not tested: the benchmark of Sharded (${noMpi}).\n`);
(noMpi ? test.skip : test)(
  `a small run measures every optimizer on two ranks${noMpi && ` (skipped: ${noMpi})`}`,
  () => {
    Object.assign(process.env, { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' });
    const out = path.join(folder, 'result.json');
    const lines: string[] = [];
    expect(main(['--quick', '--out', out], (text) => lines.push(text))).toBe(0);
    const report = JSON.parse(fs.readFileSync(out, 'utf8')) as ShardedReport;
    expect(lines).toEqual([table(report)]);
    expect(report.cells.map(({ optimizer, ranks }) => [optimizer, ranks])).toEqual([
      ['adamw', 2],
      ['lamb', 2],
      ['muon', 2],
    ]);
    for (const cell of report.cells) {
      expect(cell.stateBytes).toHaveLength(2);
      expect(cell.stateBytes.reduce((sum, bytes) => sum + bytes)).toBe(cell.aloneStateBytes);
      // 566 elements: gradients all-reduced, and at least half of the parameters gathered.
      expect(cell.sentBytes.replicated).toBe(4 * 566);
      expect(cell.sentBytes.stage1).toBeGreaterThanOrEqual(1.5 * 4 * 566);
      for (const times of [cell.alone, cell.stage1, cell.stage2, cell.replicated]) {
        expect(times).toHaveLength(2);
        for (const seconds of times) expect(seconds).toBeGreaterThan(0);
      }
    }
  },
  240_000,
);

test.each([
  [['--ranks', '0'], 'Expected --ranks to be a whole number from 1 to 9999 but received "0".'],
  [['--set', 'gpt9'], /^Expected --set to name some of gpt2, .* but received "gpt9"\.$/],
  [
    ['--optimizers', 'adam9'],
    'Expected --optimizers to name some of adamw, lamb, muon but received "adam9".',
  ],
])('%j is refused in one sentence', (args, message) => {
  const notes: string[] = [];
  const status = main(args, undefined, (text) => notes.push(text));
  expect([status, notes]).toEqual([2, [expect.stringMatching(message) as string]]);
});
