/** Short real runs of the program behind `npm run demo:tfjs`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { drawDigits, PIXELS, picture } from '../../examples/tfjs-mnist-like/digits';

const root = path.join(__dirname, '..', '..');
const folder = mkdtempSync(path.join(tmpdir(), 'fused-optim-digits-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  steps: number;
  firstLoss: number;
  trainLoss: number;
  testAccuracy: number;
  tensorsLeft: number;
}

function demo(...args: string[]) {
  const program = ['-r', 'ts-node/register/transpile-only', 'examples/tfjs-mnist-like/main.ts'];
  return spawnSync(process.execPath, [...program, ...args], { cwd: root, encoding: 'utf8' });
}

function result(...args: string[]): Result {
  const { status, stdout, stderr } = demo('--json', ...args);
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Result;
}

describe('digits', () => {
  test('are the same for the same seed, and every one is another', () => {
    const { images, labels } = drawDigits(30, 5);
    expect(drawDigits(30, 5)).toEqual({ count: 30, images, labels });
    const drawn = Array.from({ length: 30 }, (_, i) => images.slice(i * PIXELS, (i + 1) * PIXELS).join());
    expect(new Set(drawn).size).toBe(30);
    expect([...labels.slice(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    expect(Math.min(...images)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...images)).toBe(1);
    expect(picture(drawDigits(1, 5), 0).split('\n')).toHaveLength(14);
  });
});

describe('training on wasm', () => {
  test('learns, and leaves no tensor', () => {
    const { firstLoss, trainLoss, testAccuracy, tensorsLeft } = result('--steps', '60');
    expect(firstLoss).toBeGreaterThan(2);
    expect(trainLoss).toBeLessThan(0.6);
    expect(testAccuracy).toBeGreaterThan(0.8);
    expect(tensorsLeft).toBe(0);
  }, 60_000);

  test('goes on from a folder to the bits of a run that did not stop', () => {
    const [half, resumed, whole] = ['half', 'resumed', 'whole'].map((name) => path.join(folder, name));
    result('--steps', '6', '--optimizer', 'muon', '--out', half!);
    expect(result('--steps', '6', '--optimizer', 'muon', '--resume', half!, '--out', resumed!).steps).toBe(
      12,
    );
    result('--steps', '12', '--optimizer', 'muon', '--out', whole!);
    for (const file of ['weights.safetensors', 'optimizer.safetensors'])
      expect(readFileSync(path.join(resumed!, file))).toEqual(readFileSync(path.join(whole!, file)));
  }, 120_000);
});

test.each([
  [['--steps', '0'], 'Expected --steps to be a whole number from 1 but received "0".'],
  [['--optimizer', 'x'], /^Expected --optimizer to be one of AdamW, .* but received "x"\.$/],
  [['--stepz', '3'], "Unknown option '--stepz'; --help lists the options."],
])('%j is refused in one sentence', (args, message) => {
  const { status, stdout, stderr } = demo(...args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr.trim()).toMatch(message);
});

test('--help prints every option', () => {
  const { status, stdout } = demo('--help');
  expect(status).toBe(0);
  for (const option of ['steps', 'optimizer', 'lr', 'backend', 'seed', 'out', 'resume', 'json'])
    expect(stdout).toContain(`--${option}`);
});
