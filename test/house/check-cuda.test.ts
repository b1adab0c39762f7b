import fs from 'node:fs';
import path from 'node:path';
import { root, runNode, scratchDirectory, writeFiles } from './scratch';

const script = path.join(root, 'scripts', 'check-cuda.js');
const scratch = scratchDirectory();

/** Symbols as nvcc makes them of entry<Body, blocks>(Body::Args). */
const entry = (body: string, blocks = 4) => `_ZN2fo4cuda5entryI${body}Li${blocks}EEEvNT_4ArgsE`;
const adamwIn = (flavor: string, pass = 0, blocks = 4) =>
  entry(`NS0_4PassI5AdamWLi0E${flavor}LNS0_8PassKindE${pass}EEE`, blocks);
const adamw = adamwIn('NS0_4PureIfLi4EEE');
const mixed = adamwIn('NS0_5MixedE');
const doubles = adamwIn('NS0_6DoubleE');
const observe = adamwIn('NS0_4PureIfLi4EEE', 1, 3);
const updateOfThree = adamwIn('NS0_4PureIfLi4EEE', 0, 3);
const advance = entry('NS0_7AdvanceE', 1);

interface Kernel {
  readonly symbol: string;
  readonly registers?: number;
  readonly spills?: number;
  readonly lines?: readonly string[];
}

const wide = [
  'ld.global.v4.f32 \t{%f1, %f2, %f3, %f4}, [%rd1];',
  'st.global.v4.f32 \t[%rd1], {%f1, %f2, %f3, %f4};',
];

/** Reports of ptxas and nvcc on one kernel, and what the check says of them. */
function check({ symbol, registers = 40, spills = 0, lines = wide }: Kernel) {
  const directory = fs.mkdtempSync(path.join(scratch, 'reports-'));
  writeFiles(directory, {
    'made.sm_90.txt': [
      `ptxas info    : Compiling entry function '${symbol}' for 'sm_90'`,
      `ptxas info    : Function properties for ${symbol}`,
      `    0 bytes stack frame, ${spills} bytes spill stores, ${spills} bytes spill loads`,
      `ptxas info    : Used ${registers} registers, used 1 barriers, 3424 bytes smem`,
    ].join('\n'),
    'made.sm_90.ptx': [
      '.visible .entry ' + symbol + '(',
      ')',
      '{',
      ...lines.map((line) => `\t${line}`),
      '}',
    ].join('\n'),
  });
  return runNode([script, '--read', directory], root);
}

describe('check-cuda', () => {
  test('passes on a kernel within budget, and prints its numbers', () => {
    const { status, output } = check({ symbol: adamw, registers: 64 });
    expect(output).toMatch(/update AdamW, float32 +64 +0/);
    expect(status).toBe(0);
  });

  test.each<[string, Kernel, string]>([
    ['a spilled register', { symbol: adamw, spills: 8 }, 'no spilled registers but 8 bytes are stored'],
    [
      'too many registers for four blocks, in a kernel made for three',
      { symbol: updateOfThree, registers: 80 },
      'at most 64 registers but it uses 80',
    ],
    ['too many registers', { symbol: adamw, registers: 65 }, 'at most 64 registers but it uses 65'],
    [
      'float64 in a float32 kernel',
      { symbol: adamw, lines: [...wide, '@%p1 mul.rn.f64 \t%fd1, %fd2, %fd3;'] },
      'no float64 instruction but found 1, such as mul.rn.f64',
    ],
    [
      'narrow loads',
      { symbol: adamw, lines: [wide[1]!, 'ld.global.f32 \t%f1, [%rd1];'] },
      'loads of 16 bytes',
    ],
    ['narrow stores', { symbol: adamw, lines: [wide[0]!] }, 'stores of 16 bytes'],
  ])('fails on %s', (_, kernel, sentence) => {
    const { status, output } = check(kernel);
    expect(output).toContain('update AdamW, float32 for sm_90: expected');
    expect(output).toContain(sentence);
    expect(status).toBe(1);
  });

  test.each<[string, Kernel]>([
    ['float64 in a float64 kernel', { symbol: doubles, lines: ['add.f64 \t%fd1, %fd2, %fd3;'] }],
    [
      'float64 and many registers in a kernel of one block',
      { symbol: advance, registers: 90, lines: ['div.rn.f64 \t%fd1, %fd2, %fd3;'] },
    ],
    ['narrow accesses in a mixed kernel', { symbol: mixed, lines: ['ld.global.u16 \t%rs1, [%rd1];'] }],
    [
      'accesses of 32 bytes',
      { symbol: adamw, lines: ['ld.global.nc.v8.f32 \t{%f1}, [%rd1];', 'st.global.v8.f32 \t[%rd1], {%f1};'] },
    ],
    ['more registers in an observing kernel of three blocks', { symbol: observe, registers: 80 }],
  ])('allows %s', (_, kernel) => {
    expect(check(kernel)).toEqual({ status: 0, output: expect.stringContaining('within budget') as string });
  });

  test('fails when there is no report', () => {
    const { status, output } = runNode(
      [script, '--read', fs.mkdtempSync(path.join(scratch, 'empty-'))],
      root,
    );
    expect(output).toContain('expected reports of kernels but found none');
    expect(status).toBe(1);
  });
});
