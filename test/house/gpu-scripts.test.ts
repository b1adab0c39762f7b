import fs from 'node:fs';
import path from 'node:path';
import { root, run, runNode, scratchDirectory } from './scratch';

const { judge } = jest.requireActual<{
  judge: (tool: string, run: object) => { passed: number; failed: number; reason?: string; output?: string };
}>('../../scripts/gpu/sanitize.js');

/** No CUDA addon, wherever this runs. */
const nothing = { FUSED_OPTIM_CUDA_ADDON: '/nowhere.node' };

describe('test:gpu', () => {
  test('says why there is nothing to test on, and ends well', () => {
    const { status, output } = runNode(['scripts/test-gpu.js'], root, nothing);
    expect({ status, output }).toMatchObject({ status: 0 });
    expect(output).toMatch(/^test:gpu: skipped, .*\n0 passed, 0 failed\n$/);
  }, 60_000);

  test.each([
    [['--only', 'nothing'], 'Expected --only to name some of kernels, suites, sanitizers'],
    [['--budget', 'soon'], 'Expected --budget to be seconds above 0 but received "soon".'],
  ])('refuses %j', (args, message) => {
    const { status, output } = runNode(['scripts/test-gpu.js', ...args], root, nothing);
    expect(status).toBe(2);
    expect(output).toContain(message);
  });
});

describe("what compute-sanitizer's word means", () => {
  const run_ = (output: string, status = 0) => ({
    status,
    late: false,
    ended: `ended with ${status}`,
    output,
  });

  test.each([
    '========= ERROR SUMMARY: 0 errors',
    '========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)',
  ])('%s: nothing found', (line) =>
    expect(judge('memcheck', run_(`8 passed, 0 failed\n${line}\n`))).toEqual({ passed: 1, failed: 0 }),
  );

  test('errors fail, and so does a program that fails without any', () => {
    const found = judge(
      'memcheck',
      run_('========= Invalid __global__ write\n========= ERROR SUMMARY: 1 error\n', 99),
    );
    expect(found).toMatchObject({ passed: 0, failed: 1 });
    expect(found.output).toContain('Invalid __global__ write');
    expect(judge('memcheck', run_('FAILED x\n========= ERROR SUMMARY: 0 errors\n', 1))).toMatchObject({
      failed: 1,
    });
    expect(judge('memcheck', run_('Segmentation fault\n', 139))).toMatchObject({ failed: 1 });
    expect(judge('memcheck', { ...run_(''), status: null, late: true })).toMatchObject({ failed: 1 });
  });

  test('a tool that does not run here is skipped, with its reason', () => {
    const { passed, failed, reason } = judge('racecheck', run_('========= Error: Device not supported\n', 1));
    expect({ passed, failed }).toEqual({ passed: 0, failed: 0 });
    expect(reason).toBe('racecheck does not run here: Error: Device not supported');
  });
});

describe('pack:gpu', () => {
  const directory = scratchDirectory();
  const environment = { XZ_OPT: '-0 -T0' };

  test('makes a folder that runs where nothing else is', () => {
    const out = path.join(directory, 'pack');
    const packed = runNode(['scripts/pack-gpu.js', '--without-node', '--out', out], root, environment);
    expect(packed).toMatchObject({ status: 0 });
    expect(fs.readdirSync(out).sort()).toEqual(['modules.tar.xz', 'run.sh', 'tree.tar.xz', 'unpack.py']);

    // Nothing of this environment but the paths of Node, Python and tar.
    const clean = (...command: string[]) =>
      run(
        'env',
        [
          '-i',
          `PATH=${path.dirname(process.execPath)}:${process.env.PATH}`,
          'FUSED_OPTIM_CUDA_ADDON=/nowhere.node',
          ...command,
        ],
        out,
      );
    const tested = clean('sh', 'run.sh', 'test');
    expect(tested.output).toMatch(/^test:gpu: skipped, .*\n0 passed, 0 failed\n$/m);
    expect(tested.status).toBe(0);
    expect(clean('sh', 'run.sh', 'bench').output).toMatch(/^bench:gpu: skipped, /m);
    expect(clean('sh', 'run.sh', 'nothing').status).toBe(2);

    const work = path.join(out, 'work');
    const jest = clean(
      'sh',
      '-c',
      `cd ${work} && node node_modules/jest/bin/jest.js -c jest.packed.config.js test/names`,
    );
    expect(jest.output).toMatch(/^Tests: +\d+ passed/m);
    const about = JSON.parse(fs.readFileSync(path.join(work, 'gpu-pack.json'), 'utf8')) as { commit: string };
    expect(about.commit).toMatch(/^[0-9a-f]{7,}\+?$/);
    const said = clean('sh', '-c', `cd ${work} && node -p "require('./scripts/commit').commit()"`);
    expect(said.output.trim()).toBe(about.commit);
  }, 240_000);
});
