/** Short real runs of the program behind `npm run demo`. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { CHECKPOINT_FILE, checkpointPath, readCheckpoint } from '../../examples/gpt/checkpoint';
import { optimizerNames } from '../../examples/gpt/optimizers';
import { runtimeInstalled } from '../../examples/gpt/runtime';

const ROOT = path.join(__dirname, '..', '..');
const folder = mkdtempSync(path.join(tmpdir(), 'fused-optim-gpt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function demo(...args: string[]): Outcome {
  return spawnSync(process.execPath, ['scripts/demo.js', ...args], { cwd: ROOT, encoding: 'utf8' });
}

describe('command line', () => {
  test.each([
    [
      ['--optimzer', 'adam'],
      'Unknown option "--optimzer"; did you mean --optimizer? --help lists the options.',
    ],
    [['--steps'], 'Expected --steps to have a value; --help lists the options.'],
    [['--steps', '1.5'], 'Expected --steps to be a whole number from 1 but received "1.5".'],
    [
      ['--state-dtype', 'int8'],
      'Expected --state-dtype to be one of float32, bfloat16, 8bit but received "int8".',
    ],
    [['--lr=-1'], 'Expected --lr to be a positive number but received "-1".'],
    [['--compare', '--lr', '1'], 'Expected --compare to be without --lr; --help lists the options.'],
    [['--stage', '2'], 'Expected --stage to be with --data-parallel; --help lists the options.'],
    [
      ['--data-parallel'],
      'Expected --data-parallel in processes that mpirun has started; start them so: ' +
        'mpirun -n 2 node scripts/demo.js --data-parallel',
    ],
    [['200'], 'Unexpected argument "200"; options look like this: npm run demo -- --steps 200'],
  ])('%j is refused in one sentence', (args, message) => {
    expect(demo(...args)).toEqual(expect.objectContaining({ status: 2, stdout: '', stderr: `${message}\n` }));
  });

  test('an unknown optimizer is answered with the list', () => {
    const { status, stderr } = demo('--optimizer', 'adamx');
    expect(status).toBe(2);
    expect(stderr).toMatch(/^Expected --optimizer to be one of .*AdamW.* but received "adamx"\.\n$/);
  });

  test('--help prints every option', () => {
    const { status, stdout } = demo('--help');
    expect(status).toBe(0);
    for (const option of [
      'optimizer',
      'steps',
      'lr',
      'horizon',
      'resume',
      'seed',
      'out',
      'compare',
      'data-parallel',
      'stage',
      'json',
    ]) {
      expect(stdout).toContain(`--${option}`);
    }
    for (const name of optimizerNames())
      expect(stdout).toMatch(new RegExp(`\\b${name}\\b.*\\b${name} [0-9]`, 's'));
  });
});

/** Installs the runtime where it is missing, as on a fresh clone; without a network the training tests are skipped. */
function installed(): boolean {
  if (runtimeInstalled()) return true;
  const { stderr } = demo('--steps', '1', '--json', '--out', path.join(folder, 'install'));
  if (!runtimeInstalled()) process.stderr.write(`The training runs of the example are skipped: ${stderr}\n`);
  return runtimeInstalled();
}

(installed() ? describe : describe.skip)('training', () => {
  let first: Outcome;
  const out = (name: string): string => path.join(folder, name);
  const run = (name: string, body: () => void): void => test(name, body, 180_000);

  beforeAll(() => {
    first = demo('--steps', '8', '--json', '--out', out('whole'));
  }, 180_000);

  run('--json ends with one object', () => {
    expect({ status: first.status, stderr: first.stderr }).toEqual(expect.objectContaining({ status: 0 }));
    const result = JSON.parse(first.stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, number>;
    expect(result).toEqual({
      optimizer: 'AdamW',
      steps: 8,
      parameters: 813_824,
      stateBytes: 2 * 4 * 813_824,
      trainLoss: expect.any(Number) as number,
      valLoss: expect.any(Number) as number,
      unigramEntropy: expect.any(Number) as number,
      tokensPerSecond: expect.any(Number) as number,
      optimizerShare: expect.any(Number) as number,
    });
    // Eight steps of warm-up: hardly better than the untrained model's log(96), and already below it.
    expect(result.trainLoss).toBeLessThan(Math.log(96) + 0.1);
    expect(result.valLoss).toBeLessThan(Math.log(96));
    expect(result.unigramEntropy).toBeLessThan(Math.log(96));
    expect(result.tokensPerSecond).toBeGreaterThan(0);
    expect(result.optimizerShare).toBeGreaterThan(0);
    expect(result.optimizerShare).toBeLessThan(1);
  });

  run('leaves the curves as SVG and PNG', () => {
    expect(readFileSync(path.join(out('whole'), 'loss.svg'), 'utf8')).toMatch(/^<svg.*unigram entropy/s);
    expect(
      readFileSync(path.join(out('whole'), 'loss.png'))
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
  });

  run('four steps and four more are bit-equal to eight', () => {
    expect(demo('--steps', '4', '--json', '--out', out('parts')).status).toBe(0);
    const resumed = demo('--steps', '8', '--resume', '--json', '--out', out('parts'));
    expect(resumed.stderr).toContain('Going on from step 4');
    expect(resumed.status).toBe(0);
    const [whole, parts] = ['whole', 'parts'].map((name) => readCheckpoint(checkpointPath(out(name))));
    expect(Object.keys(whole?.weights ?? {})).toHaveLength(52);
    expect(isDeepStrictEqual(parts, whole)).toBe(true); // Weights, optimizer state, losses: every bit.
  });

  run('keeps states in 8 bits, but for the embeddings and small tensors', () => {
    const options = ['--state-dtype', '8bit', '--json', '--out', out('8bit')];
    const whole = demo('--steps', '8', ...options);
    expect(whole).toMatchObject({ status: 0 });
    const result = JSON.parse(whole.stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, number>;
    expect(result.stateBytes).toBeLessThan(0.3 * 2 * 4 * 813_824);
    expect(result.valLoss).toBeLessThan(Math.log(96));
    const resumed = demo('--resume', '--steps', '9', ...options.slice(2));
    expect(resumed).toMatchObject({ status: 0 });
    const refused = demo('--resume', '--steps', '9', '--state-dtype', 'float32', ...options.slice(2));
    expect(refused).toMatchObject({
      status: 2,
      stderr: 'Expected --state-dtype to be 8bit, as in the checkpoint, but received float32.\n',
    });
  });

  run('refuses to go on with another optimizer or from fewer steps', () => {
    const other = demo('--resume', '--optimizer', 'Lion', '--out', out('whole'));
    expect(other.status).toBe(2);
    expect(other.stderr).toBe('Expected --optimizer to be AdamW, as in the checkpoint, but received Lion.\n');
    const fewer = demo('--resume', out('whole'), '--steps', '7', '--out', out('none'));
    expect(fewer.status).toBe(2);
    expect(fewer.stderr).toMatch(/^Expected --steps to be at least 8, which the checkpoint has done/);
    expect(existsSync(out('none'))).toBe(false);
  });

  run('a truncated checkpoint is one sentence', () => {
    const file = path.join(out('whole'), CHECKPOINT_FILE);
    const short = path.join(folder, 'short.bin');
    writeFileSync(short, readFileSync(file).subarray(0, 5000));
    const { status, stderr } = demo('--resume', short, '--steps', '9');
    expect(status).toBe(1);
    expect(stderr).toBe(`Expected "${short}" to be a whole checkpoint but it is cut short or damaged.\n`);
  });

  run('every optimizer trains, and goes on where it stopped', () => {
    const resumed = ['Muon', 'Lookahead', 'Ranger'];
    const flags = ['-r', 'ts-node/register/transpile-only'];
    const program = path.join('test', 'examples', 'every-optimizer.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, program, folder, ...resumed], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const result = JSON.parse(stdout) as {
      losses: Record<string, number[]>;
      resumes: Record<string, boolean>;
    };
    expect(Object.keys(result.losses)).toEqual(optimizerNames());
    for (const [name, [start = NaN, , third = NaN]] of Object.entries(result.losses)) {
      expect({ name, falls: third < start }).toEqual({ name, falls: true });
    }
    expect(result.resumes).toEqual(Object.fromEntries(resumed.map((name) => [name, true])));
  });

  describe('--compare', () => {
    interface Outcome {
      steps: number | null;
      seconds: number | null;
      finalLoss: number;
      stateBytes: number;
    }
    interface Comparison {
      targetLoss: number;
      adamw: Outcome;
      muon: Outcome;
      lion: { stateBytes: number };
    }
    const STEPS = 12;
    const compared = (): Comparison => {
      const { status, stdout, stderr } = demo(
        '--compare',
        '--steps',
        `${STEPS}`,
        '--json',
        '--out',
        out('compare'),
      );
      expect({ status, stderr }).toEqual({
        status: 0,
        stderr: expect.stringContaining('role embedding') as string,
      });
      expect(stdout.split('\n')).toHaveLength(2); // The object, and what follows its line break: nothing.
      return JSON.parse(stdout) as Comparison;
    };
    let result: Comparison;
    beforeAll(() => void (result = compared()), 180_000);

    run('times both to the best loss of AdamW', () => {
      const { targetLoss, adamw, muon } = result;
      expect(targetLoss).toBe(adamw.finalLoss);
      expect(targetLoss).toBeLessThan(Math.log(96));
      expect(adamw.steps).toBe(STEPS);
      expect(adamw.seconds).toBeGreaterThan(0);
      expect(muon.steps).toBeGreaterThan(0);
      expect(muon.steps).toBeLessThanOrEqual(STEPS);
    });

    run("says that Lion's state is half of AdamW's", () => {
      expect(result.adamw.stateBytes).toBe(2 * 4 * 813_824);
      expect(result.lion.stateBytes).toBe(result.adamw.stateBytes / 2);
    });

    run('draws both curves', () => {
      expect(readFileSync(path.join(out('compare'), 'compare.svg'), 'utf8')).toMatch(/^<svg.*AdamW.*Muon/s);
      const png = readFileSync(path.join(out('compare'), 'compare.png'));
      expect(png.subarray(1, 4).toString()).toBe('PNG');
    });

    run('comes to the same losses again', () => {
      const again = compared();
      expect(again.targetLoss).toBe(result.targetLoss);
      expect([again.muon.steps, again.muon.finalLoss]).toEqual([result.muon.steps, result.muon.finalLoss]);
    });
  });
});
