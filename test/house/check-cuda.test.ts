import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, runNode, scratchDirectory, writeFiles } from './scratch';

const script = path.join('scripts', 'check-cuda.js');
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

/** What ptxas says of a kernel. */
const ptxas = ({ symbol, registers = 40, spills = 0 }: Kernel, architecture: string): string =>
  [
    `ptxas info    : Compiling entry function '${symbol}' for '${architecture}'`,
    `ptxas info    : Function properties for ${symbol}`,
    `    0 bytes stack frame, ${spills} bytes spill stores, ${spills} bytes spill loads`,
    `ptxas info    : Used ${registers} registers, used 1 barriers, 3424 bytes smem\n`,
  ].join('\n');

const ptx = ({ symbol, lines = wide }: Kernel, architecture: string): string =>
  [
    `.target ${architecture}`,
    `.visible .entry ${symbol}(`,
    ')',
    '{',
    ...lines.map((line) => `\t${line}`),
    '}',
  ].join('\n');

const folder = 'build-cuda/reports/made';
const addon = 'build-cuda/Release/fused_optim_cuda.node';

/** A copy of the check beside a build of one source, for the architectures that CMake's names say. */
function builtTree(architectures: string, kernels: Readonly<Record<string, Kernel>>): string {
  const directory = fs.mkdtempSync(path.join(scratch, 'built-'));
  copyFromRoot(directory, [
    ...['built-kernels.js', 'check-cuda.js', 'cuda-report.js', 'sources.js'].map((name) => `scripts/${name}`),
    'test/native/build.js',
  ]);
  const cuda = { kernels: ['native/cuda/kernels/made.cu'] };
  writeFiles(directory, {
    'native/sources.json': JSON.stringify({ cuda, cudaArchitectures: [], flags: { nvcc: [] } }),
    'native/cuda/kernels/made.cu': '#include "made.h"\n',
    'native/cuda/kernels/made.h': '',
    'build-cuda/CMakeCache.txt': `CMAKE_BUILD_TYPE:STRING=Release\nFO_CUDA_ARCHITECTURES:STRING=${architectures}\n`,
    [addon]: Object.values(kernels)
      .map(({ symbol }) => `${symbol}\0`)
      .join(''),
    [`${folder}/made.d`]: 'made.o: native/cuda/kernels/made.cu \\\n  native/cuda/kernels/made.h\n',
    [`${folder}/ptxas.txt`]: Object.entries(kernels)
      .map(([architecture, kernel]) => ptxas(kernel, architecture))
      .join(''),
  });
  for (const [architecture, kernel] of Object.entries(kernels))
    writeFiles(directory, {
      [`${folder}/made.${architecture.replace('sm_', 'compute_')}.ptx`]: ptx(kernel, architecture),
    });
  return directory;
}

const judge = (directory: string) => runNode([script, '--built'], directory);
const check = (kernel: Kernel) => judge(builtTree('90-real', { sm_90: kernel }));

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
    [
      'narrow stores beside wide ones',
      {
        symbol: adamw,
        lines: [...wide, ...['', '+4', '+8', '+12'].map((offset) => `st.global.f32 \t[%rd7${offset}], %f9;`)],
      },
      'stores of 16 bytes but 1 are of four words',
    ],
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

  test('judges the kernels of every architecture', () => {
    const kernels = { sm_80: { symbol: adamw }, sm_90: { symbol: adamw, spills: 8 } };
    const { status, output } = judge(builtTree('80-real;90', kernels));
    expect(output).toMatch(/update AdamW, float32 +40 +40 +8/);
    expect(output).toContain('update AdamW, float32 for sm_90: expected no spilled registers');
    expect(output).toContain('2 kernels for sm_80, sm_90: 1 problems.');
    expect(status).toBe(1);
  });

  test('fails when a report lacks an architecture of the build', () => {
    const { status, output } = judge(builtTree('80-real;90;100-virtual', { sm_80: { symbol: adamw } }));
    expect(output).toBe(
      'native/cuda/kernels/made.cu: expected kernels for sm_90 in its report but found none.\n',
    );
    expect(status).toBe(1);
  });

  test('fails when the build was for no architecture', () => {
    const { status, output } = judge(builtTree('', { sm_90: { symbol: adamw } }));
    expect(output).toContain('expected code for a GPU but found none');
    expect(status).toBe(1);
  });

  test.each(['made.cu', 'made.h'])('fails when a report is older than %s', (name) => {
    const directory = builtTree('90-real', { sm_90: { symbol: adamw } });
    const file = path.join(directory, 'native/cuda/kernels', name);
    const later = new Date(Date.now() + 5000);
    fs.utimesSync(file, later, later);
    const { status, output } = judge(directory);
    expect(output).toContain(`native/cuda/kernels/made.cu: its report is older than`);
    expect(output).toContain(`${path.join('kernels', name)}; compile it again.`);
    expect(status).toBe(1);
  });

  test.each([
    ['report', 'ptxas.txt', "expected ptxas's report in"],
    ['PTX', 'made.compute_90.ptx', 'expected PTX of the kernel but found none'],
    ['list of files that were read', 'made.d', 'its report is older than'],
  ])('fails when there is no %s', (_, name, sentence) => {
    const directory = builtTree('90-real', { sm_90: { symbol: adamw } });
    fs.rmSync(path.join(directory, folder, name));
    const { status, output } = judge(directory);
    expect(output).toContain(sentence);
    expect(status).toBe(1);
  });

  test('fails when host code names another kernel', () => {
    const directory = builtTree('90-real', { sm_90: { symbol: adamw } });
    writeFiles(directory, { [addon]: `${adamwIn('NS0_4PureIfLi8EEE')}\0` });
    const { status, output } = judge(directory);
    expect(output).toContain('update AdamW, float32 for sm_90: expected the addon to name it');
    expect(status).toBe(1);
  });

  test('fails when there is no build', () => {
    const directory = builtTree('90-real', {});
    fs.rmSync(path.join(directory, 'build-cuda'), { recursive: true });
    const { status, output } = judge(directory);
    expect(output).toContain('run npm run build:cuda first');
    expect(status).toBe(1);
  });
});

describe('kernels that the stand-in runs as compiled', () => {
  const machines = (directory: string, options: object) =>
    runNode(
      [
        '-e',
        `const { machinesOf } = require('./scripts/built-kernels');
         try { console.log(JSON.stringify(machinesOf(${JSON.stringify(options)}))); }
         catch (error) { console.log(error.message); }`,
      ],
      directory,
    ).output;
  const both = () => builtTree('80-real;90', { sm_80: { symbol: adamw }, sm_90: { symbol: adamw } });

  test('are those of every architecture that was built, or of one', () => {
    const directory = both();
    const machine = (number: number) => ({
      name: `compiled for sm_${number}`,
      variables: {
        FUSED_OPTIM_STAND_IN_PTX: path.join(fs.realpathSync(directory), folder, `made.compute_${number}.ptx`),
      },
    });
    expect(JSON.parse(machines(directory, { compiled: true }))).toEqual([machine(80), machine(90)]);
    expect(JSON.parse(machines(directory, { compiled: true, architecture: '90' }))).toEqual([machine(90)]);
    expect(JSON.parse(machines(directory, {}))).toEqual([{ name: 'host code', variables: {} }]);
  });

  test('are found when there is one architecture, which is not in the name of the file then', () => {
    const directory = builtTree('90-real', { sm_90: { symbol: adamw } });
    fs.renameSync(
      path.join(directory, folder, 'made.compute_90.ptx'),
      path.join(directory, folder, 'made.ptx'),
    );
    expect(machines(directory, { compiled: true })).toContain('made.ptx');
  });

  test('have to be built, and from what the sources are now', () => {
    const directory = both();
    expect(machines(directory, { compiled: true, architecture: '70' })).toBe(
      'Expected one of sm_80, sm_90, which were built last, but received sm_70.\n',
    );
    const later = new Date(Date.now() + 5000);
    fs.utimesSync(path.join(directory, 'native/cuda/kernels/made.h'), later, later);
    expect(machines(directory, { compiled: true })).toContain('its report is older than');
  });
});
