import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { main, table, type TfjsReport } from '../../bench/tfjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-bench-tfjs-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

test('a small run compares the same training on both backends, and writes what it found', async () => {
  const out = path.join(folder, 'result.json');
  const printed = jest.spyOn(console, 'log').mockImplementation(() => undefined);
  await main(['--rounds', '2', '--steps', '1', '--hidden', '4', '--out', out]);
  const report = JSON.parse(fs.readFileSync(out, 'utf8')) as TfjsReport;
  expect(printed).toHaveBeenCalledWith(expect.stringContaining(table(report)));
  printed.mockRestore();
  expect(report.machine.cpu).not.toBe('');
  expect(report.backends.map(({ backend }) => backend)).toEqual(['cpu', 'wasm']);
  for (const { rows } of report.backends) {
    expect(rows.map(({ name }) => name)).toEqual([
      'tfjs Adam',
      'fused-optim Adam',
      'fused-optim Adam, by copies',
    ]);
    for (const { rounds, optimizerMs, stepMs, loss } of rows) {
      expect(rounds).toHaveLength(2);
      expect(optimizerMs).toBeGreaterThan(0);
      expect(stepMs).toBeGreaterThan(optimizerMs);
      expect(loss).toBeCloseTo(rows[0]!.loss, 3);
    }
  }
});

test('a mistake on the command line is one sentence', async () => {
  await expect(main(['--rounds', '0'])).rejects.toThrow(
    'Expected --rounds to be a whole number from 1 but received "0".',
  );
});
