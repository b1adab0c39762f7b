import fs from 'node:fs';
import path from 'node:path';
import { cases } from '../../bench/gpu/cases';
import { main } from '../../bench/gpu/main';
import type { GpuReport } from '../../bench/gpu/report';
import { describeStandIn } from '../helpers/cuda';
import { scratchDirectory } from '../house/scratch';

describeStandIn('the benchmark of GPUs', () => {
  const directory = scratchDirectory();

  async function run(...argv: string[]): Promise<{ code: number; out: string[]; notes: string[] }> {
    const out: string[] = [];
    const notes: string[] = [];
    const output = {
      out: (text: string) => void out.push(text),
      note: (text: string) => void notes.push(text),
      bar: false,
    };
    return { code: await main(argv, output), out, notes };
  }

  test('measures every case on tiny sets, and does not call it a measurement', async () => {
    const file = path.join(directory, 'result.json');
    const { code, notes } = await run('--stand-in', '--no-torch', '--json', '--out', file);
    expect(code).toBe(0);
    const report = JSON.parse(fs.readFileSync(file, 'utf8')) as GpuReport;
    expect(report).toMatchObject({
      measurement: false,
      aims: [],
      torch: null,
      ceilings: { source: 'AdamW' },
    });
    expect(report.cells.map(({ id }) => id)).toEqual(cases.map(({ id }) => id));
    for (const { graph, time, rotated } of report.cells) {
      expect({ graph, rotated }).toEqual({ graph: true, rotated: 3 });
      expect(time.ms.median).toBeGreaterThan(0);
    }
    const reasons = new Set(report.skipped.map(({ reason }) => reason));
    expect([...reasons]).toEqual(['torch was not asked for']);
    expect(notes.at(-1)).toContain('result.md');
    expect(fs.readFileSync(path.join(directory, 'result.md'), 'utf8')).toMatch(
      /^NOT A MEASUREMENT: a stand-in/,
    );
  }, 300_000);

  test('takes nothing for a GPU unless it is told to', async () => {
    const { code, out } = await run('--no-torch');
    expect({ code, out }).toEqual({
      code: 0,
      out: ['bench:gpu: skipped, the CUDA addon is the stand-in, which --stand-in is for'],
    });
  });
});
