import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { packageTree } from './house/package-tree';
import { runNode, type Outcome } from './house/scratch';

/** The package as users get it; the programs of helpers/children run inside. */
const directory = packageTree();
const children = path.join(__dirname, 'helpers', 'children');
for (const file of fs.readdirSync(children))
  fs.copyFileSync(path.join(children, file), path.join(directory, file));

// The scalar kernels take longest, which leaves most time for what happens meanwhile.
const child = (file: string, ...args: string[]): Outcome =>
  runNode(['--expose-gc', file, ...args], directory, { FUSED_OPTIM_ISA: 'scalar' });

/** How a process ended: a signal leaves no status. */
const ended = (status: number, output: unknown): Outcome => ({ status, output: output as string });

describe('worker threads', () => {
  test('step at the same time, each to the same bits as alone', () => {
    expect(child('parallel.js')).toEqual(ended(0, '9 of 9 the same, gradient kept\n'));
  }, 60_000);

  test('may be terminated in the middle of a step', () => {
    expect(child('terminate.js')).toEqual(ended(0, '16 terminated, then right\n'));
  }, 60_000);
});

describe('a process in the middle of a step', () => {
  const delays = ['0', '0', '1', '2', '4', '8'];

  test.each(delays)('ends by process.exit() (after %s ms)', (delay) => {
    const outcome = child('exit.js', 'exit', delay);
    expect(outcome).toEqual(ended(7, expect.stringMatching(/^(resolved\n)?$/)));
  });

  test.each(delays)('ends by process.exit() of a worker (after %s ms)', (delay) => {
    const outcome = child('exit.js', 'worker', delay);
    expect(outcome).toEqual(ended(7, expect.stringMatching(/^(resolved\n)?$/)));
  });

  test.each(['0', '3'])('ends by an exception that nobody catches (after %s ms)', (delay) => {
    expect(child('exit.js', 'throw', delay)).toEqual(ended(1, expect.stringContaining('Error: on purpose')));
  });

  test('waits for it when it has nothing else to do', () => {
    expect(child('exit.js', 'end', '0')).toEqual(ended(0, 'resolved\n'));
  });
});

describe('memory in the middle of a step', () => {
  test('may be transferred and collected', () => {
    expect(child('transfer.js')).toEqual(ended(0, '20 rejected\n'));
  }, 60_000);

  test('may be forgotten, and the optimizer with it', () => {
    expect(child('forget.js')).toEqual(ended(0, '40 remembered\n'));
  }, 60_000);
});

// Needs a system with limits on address space, and the program that changes them for a running process.
const limits = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0;

(limits ? describe : describe.skip)('out of memory for states', () => {
  let lines: string[];
  beforeAll(() => {
    const { status, output } = child('memory.js');
    expect({ status, output }).toMatchObject({ status: 0 });
    lines = output.trim().split('\n');
  }, 60_000);

  test.each(['step', 'stepAsync', 'loadStateDict'])(
    '%s() says how much it wanted and changes nothing',
    (name) => {
      const line = lines.find((text) => text.startsWith(`${name}: `));
      expect(line).toMatch(
        /: Expected 2\d{8} bytes of memory for the state of Adam but could not allocate them\. unchanged$/,
      );
    },
  );

  test('is no end: with memory it goes on', () => {
    expect(lines.at(-1)).toBe('then step 1 moves them');
  });
});
