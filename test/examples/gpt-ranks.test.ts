/** Short real runs of the GPT example on two ranks of mpirun. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { checkpointPath, readCheckpoint, type Checkpoint } from '../../examples/gpt/checkpoint';
import { runtimeInstalled } from '../../examples/gpt/runtime';
import { noMpi } from '../helpers/mpi';

const root = path.join(__dirname, '..', '..');
const folder = mkdtempSync(path.join(tmpdir(), 'fused-optim-gpt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const out = (name: string): string => path.join(folder, name);
const read = (name: string): Checkpoint => readCheckpoint(checkpointPath(out(name)));

const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' };
const start = ['--oversubscribe', '-n', '2', process.execPath];
const demo = ['scripts/demo.js', '--data-parallel', '--horizon', '20', '--json'];
const how = { cwd: root, encoding: 'utf8', env } as const;
const ranks = (...args: string[]) => spawnSync('mpirun', [...start, ...demo, ...args], how);

interface Result {
  readonly steps: number;
  readonly trainLoss: number;
  readonly tokensPerSecond: number;
  readonly ranks: number;
  readonly stateBytesOfRanks: readonly number[];
  readonly weightsOfRanks: readonly string[];
}
const resultOf = (stdout: string): Result => JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Result;

/** Processes that a launcher has started, by rank. */
function rankOf(wanted: number, launcher: number): number | undefined {
  const fields = (pid: string, file: string): string[] =>
    readFileSync(`/proc/${pid}/${file}`, 'utf8').split(file === 'stat' ? ' ' : '\0');
  const found = readdirSync('/proc').find((pid) => {
    try {
      const isChild = /^\d+$/.test(pid) && fields(pid, 'stat')[3] === `${launcher}`;
      return isChild && fields(pid, 'environ').includes(`OMPI_COMM_WORLD_RANK=${wanted}`);
    } catch {
      return false; // It has just ended.
    }
  });
  return found === undefined ? undefined : Number(found);
}

/** Runs until a rank is told to end, which it is when the first says that training begins. */
async function ended(
  rank: number,
  signal: NodeJS.Signals,
  ...args: string[]
): Promise<{ readonly status: number | null; readonly output: string }> {
  const launcher = spawn('mpirun', [...start, ...demo, ...args], { cwd: root, env });
  let output = '';
  let told = false;
  const hear = (text: Buffer): void => {
    output += text.toString();
    if (told || !output.includes('Model:')) return;
    told = true;
    process.kill(rankOf(rank, launcher.pid!)!, signal);
  };
  launcher.stdout.on('data', hear);
  launcher.stderr.on('data', hear);
  const status = await new Promise<number | null>((resolve) => launcher.on('close', resolve));
  return { status, output };
}

const why = noMpi || (runtimeInstalled() ? '' : 'onnxruntime-node is not installed: run the demo once');
if (why) process.stderr.write(`Not tested: the GPT example on ranks of mpirun (${why}).\n`);

(why ? describe.skip : describe)(`the demo on two ranks${why && ` (skipped: ${why})`}`, () => {
  const run = (name: string, body: () => void | Promise<void>): void =>
    test(name, async () => body(), 300_000);

  run('a signal to one rank ends all after the same step, and they go on to the same bits', async () => {
    const alone = spawnSync(
      process.execPath,
      ['scripts/demo.js', '--steps', '2', '--horizon', '20', '--json', '--out', out('alone')],
      how,
    );
    expect(alone).toMatchObject({ status: 0 });
    const from = ['--resume', out('alone')];
    const { status, output } = await ended(1, 'SIGTERM', ...from, '--steps', '9999', '--out', out('parts'));
    expect({ status, output }).toMatchObject({ status: 130 });
    const { step, weights, optimizerState } = read('parts');
    expect(output.match(/Stopped after step \d+; the checkpoint is saved/g)).toEqual([
      `Stopped after step ${step}; the checkpoint is saved`,
    ]);
    expect(step).toBeGreaterThan(2);
    expect(Object.keys(optimizerState.state).sort()).toEqual(Object.keys(weights).sort());

    const end = step + 2;
    const whole = ranks(...from, '--steps', `${end}`, '--out', out('whole'));
    expect(whole).toMatchObject({ status: 0 });
    const rest = ranks('--resume', '--stage', '2', '--steps', `${end}`, '--out', out('parts'));
    expect(rest).toMatchObject({ status: 0 });
    expect(rest.stderr.match(/Going on from step/g)).toHaveLength(1);
    expect(isDeepStrictEqual(read('parts'), read('whole'))).toBe(true);
    expect(read('whole').trainLoss.slice(0, 2)).toEqual(read('alone').trainLoss);

    const [a, b] = [resultOf(whole.stdout), resultOf(rest.stdout)];
    expect(a).toMatchObject({ steps: end, ranks: 2, stage: 1, weightsOfRanks: b.weightsOfRanks });
    expect(new Set(a.weightsOfRanks).size).toBe(1);
    expect(a.weightsOfRanks).toHaveLength(2);
    expect(a.tokensPerSecond).toBeGreaterThan(0);
    expect(a.stateBytesOfRanks.reduce((sum, bytes) => sum + bytes)).toBe(2 * 4 * 813_824);
    expect(Math.max(...a.stateBytesOfRanks)).toBeLessThan(1.05 * 4 * 813_824);

    const last = ['--resume', out('parts'), '--steps', `${end + 1}`, '--out', out('last')];
    const one = spawnSync(process.execPath, ['scripts/demo.js', '--json', ...last], how);
    expect(one).toMatchObject({ status: 0 });
    expect(read('last').step).toBe(end + 1);
  });

  run('a mistake is said once', () => {
    const { status, stderr } = ranks('--steps', '1.5');
    expect(status).toBe(2);
    expect(stderr.match(/Expected --steps to be .*/g)).toEqual([
      'Expected --steps to be a whole number from 1 but received "1.5".',
    ]);
  });

  run('with optimizers that split tensors, and those that do not', () => {
    const names = ['AdamW', 'Ranger', 'Muon', 'Lookahead'];
    const program = path.join('test', 'examples', 'every-optimizer-ranks.ts');
    const args = [...start, '-r', 'ts-node/register/transpile-only', program, folder, ...names];
    const { status, stdout, stderr } = spawnSync('mpirun', args, how);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const results = JSON.parse(stdout) as Record<
      string,
      { losses: number[]; checksums: string[]; stateBytes: number[]; resumes: boolean }
    >;
    expect(Object.keys(results)).toEqual(names);
    for (const [name, { losses, checksums, stateBytes, resumes }] of Object.entries(results)) {
      const [first = NaN, last = NaN] = [losses[0], losses.at(-1)];
      const [mine = 0, other = 0] = stateBytes;
      const facts = { falls: last < first, same: checksums[0] === checksums[1], resumes };
      expect({ name, ...facts }).toEqual({ name, falls: true, same: true, resumes: true });
      expect(Math.max(mine, other)).toBeLessThan(1.25 * Math.min(mine, other));
    }
  });
});
