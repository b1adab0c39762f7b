import fs from 'node:fs';
import path from 'node:path';
import { packageTree } from '../house/package-tree';
import { scratchDirectory, root } from '../house/scratch';
import { cli } from './run';

const directory = packageTree();
const scratch = scratchDirectory();

// A child process a command, on machines that may be busy.
jest.setTimeout(120_000);

const read = (...names: string[]): Buffer => fs.readFileSync(path.join(...names));

/** A package whose dependencies are those that users get. */
function installed(bare: string): string {
  fs.cpSync(path.join(directory, 'dist'), path.join(bare, 'dist'), { recursive: true });
  for (const name of ['package.json', 'package-lock.json'])
    fs.copyFileSync(path.join(root, name), path.join(bare, name));
  fs.symlinkSync(fs.realpathSync(path.join(directory, 'build')), path.join(bare, 'build'), 'dir');
  const lock = JSON.parse(read(root, 'package-lock.json').toString()) as {
    packages: Record<string, { dev?: boolean; peer?: boolean; optional?: boolean; devOptional?: boolean }>;
  };
  for (const [name, { dev, devOptional, optional }] of Object.entries(lock.packages)) {
    if (name === '' || dev || devOptional || optional) continue;
    fs.cpSync(path.join(root, name), path.join(bare, name), { recursive: true });
  }
  return bare;
}

describe('landscape', () => {
  const small = [
    '--functions',
    'Rosenbrock,ravine',
    '--optimizers',
    'adamw,lion,muon,lookahead',
    '--steps',
    '40',
  ];

  test('draws every function and a grid, the same bytes in every run', () => {
    const outs = ['a', 'b'].map((name) => path.join(scratch, name));
    for (const out of outs) {
      const { status, stderr } = cli(directory, ['landscape', ...small, '--out', out]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    }
    const names = ['grid', 'ravine', 'rosenbrock'].flatMap((name) => [`${name}.png`, `${name}.svg`]);
    expect(fs.readdirSync(outs[0]!).sort()).toEqual(names);
    for (const name of names) expect(read(outs[0]!, name).equals(read(outs[1]!, name))).toBe(true);
    const svg = read(outs[0]!, 'rosenbrock.svg').toString();
    for (const word of ['AdamW', 'Lion', 'Muon', 'Lookahead', 'Rosenbrock', 'start', 'minimum'])
      expect(svg).toContain(`>${word}<`);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(read(outs[0]!, 'grid.png').subarray(1, 4).toString()).toBe('PNG');
  });

  test('tells what each optimizer reached as JSON', () => {
    const out = path.join(scratch, 'json');
    const run = (...more: string[]) => {
      const { status, stdout, stderr } = cli(directory, [
        'landscape',
        ...small,
        '--json',
        '--format',
        'svg',
        '--out',
        out,
        ...more,
      ]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return JSON.parse(stdout) as {
        files: string[];
        functions: {
          function: string;
          results: { optimizer: string; lr: number; steps: number; end: number[]; distance: number }[];
        }[];
      };
    };
    const { files, functions } = run();
    expect(files.map((file) => path.basename(file))).toEqual(['rosenbrock.svg', 'ravine.svg', 'grid.svg']);
    expect(functions.map((each) => each.function)).toEqual(['rosenbrock', 'ravine']);
    const [rosenbrock, ravine] = functions;
    expect(rosenbrock!.results.map(({ optimizer }) => optimizer)).toEqual([
      'AdamW',
      'Lion',
      'Muon',
      'Lookahead',
    ]);
    // It starts 2.8 away: who has gone nowhere has found no rate.
    for (const { steps, distance } of rosenbrock!.results) {
      expect(steps).toBe(40);
      expect(distance).toBeLessThan(2.8);
    }
    const ends = (result: typeof ravine) => result!.results.map(({ end }) => end);
    const reseeded = run('--seed', '2').functions;
    expect(ends(reseeded[1])).not.toEqual(ends(ravine));
    expect(reseeded[0]).toEqual(rosenbrock);
    expect(run('--lr', '0.125').functions[0]!.results.map(({ lr }) => lr)).toEqual([
      0.125, 0.125, 0.125, 0.125,
    ]);
  });

  test('the picture in the README is what its command makes', () => {
    const command = /npx fused-optim (landscape --optimizers \S+)/.exec(
      read(root, 'README.md').toString(),
    )![1]!;
    const out = path.join(scratch, 'readme');
    expect(cli(directory, [...command.split(' '), '--format', 'svg', '--out', out]).status).toBe(0);
    const picture = read(root, 'docs', 'images', 'landscape.svg');
    expect(read(out, 'grid.svg').equals(picture)).toBe(true);
    expect(picture.length).toBeLessThan(200_000);
  });

  test.each([
    [['--optimizers', 'adamv'], 'Did you mean'],
    [['--functions', 'rosenbrok'], 'Did you mean rosenbrock?'],
    [['--steps', '0'], 'Expected a whole number from 1'],
    [['--lr', '-1'], 'Expected a number > 0'],
    [['--otu', 'x'], '(Did you mean --out?)'],
  ])('%j is bad usage', (args, message) => {
    const { status, stdout, stderr } = cli(directory, ['landscape', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});

describe('bench', () => {
  const args = ['bench', '--quick', '--parameters', '1', '--optimizers', 'sgd,lamb'];

  test('prints a table and leaves a chart', () => {
    const out = path.join(scratch, 'chart');
    const { status, stdout, stderr } = cli(directory, [...args, '--out', out, '--threads', '1']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^SGD +[\d.]+ +[\d.]+ +12\.0 +[\d.]+ +\d+ %/m);
    expect(stdout).toMatch(/^LAMB +[\d.]+ +[\d.]+ +40\.0 /m);
    expect(stdout).toMatch(/^\(streaming\) +8 +[\d.]+ +100 %/m);
    expect(stdout).toContain(`${out}.svg, ${out}.png`);
    expect(read(`${out}.svg`).toString()).toContain('>LAMB<');
  });

  test('prints the same as JSON, in the folder where it runs', () => {
    const cwd = path.join(scratch, 'elsewhere');
    fs.mkdirSync(cwd);
    const { status, stdout, stderr } = cli(directory, [...args, '--json', '--format', 'svg'], {}, cwd);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const number = expect.any(Number) as number;
    const each = {
      msPerStep: number,
      nsPerParameter: number,
      gbPerSecond: number,
      share: { median: number },
    };
    expect(JSON.parse(stdout)).toMatchObject({
      machine: { isa: expect.any(String) as string, node: process.version },
      rounds: 3,
      streaming: { gbPerSecond: number },
      optimizers: [
        { optimizer: 'SGD', bytesPerParameter: 12, ...each },
        { optimizer: 'LAMB', bytesPerParameter: 40, ...each },
      ],
      files: ['fused-optim-bench.svg'],
    });
    expect(fs.readdirSync(cwd)).toEqual(['fused-optim-bench.svg']);
  });

  test('fails where nothing can run', () => {
    const { status, stdout, stderr } = cli(directory, [...args, '--json'], { FUSED_OPTIM_ISA: 'mmx' });
    expect(status).toBe(1);
    expect(stderr).toContain('received "mmx"');
    expect(JSON.parse(stdout)).toEqual({ error: stderr.trim() });
  });
});

describe('as users install it, with the dependencies of the package alone', () => {
  const bare = scratchDirectory();
  beforeAll(() => installed(bare));

  test('every command starts', () => {
    for (const command of ['doctor', 'inspect', 'bench', 'landscape', 'demo'])
      expect(cli(bare, [command, '--help'])).toMatchObject({ status: 0, stderr: '' });
    expect(cli(bare, ['doctor']).status).toBe(0);
  });

  test('landscape writes SVG and says what PNG needs; asked for PNG, it fails', () => {
    const out = path.join(scratch, 'no-renderer');
    const args = ['landscape', '--functions', 'beale', '--optimizers', 'sgd', '--steps', '5', '--out', out];
    const { status, stderr } = cli(bare, args);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringContaining('npm install @resvg/resvg-js') as string,
    });
    expect(fs.readdirSync(out).sort()).toEqual(['beale.svg', 'grid.svg']);
    expect(cli(bare, [...args, '--format', 'png']).status).toBe(1);
  });

  test('demo says where it is', () => {
    const { status, stdout, stderr } = cli(bare, ['demo', '--steps', '2', '--json']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^The demo is not in the npm package, .*npx fused-optim demo.*\n$/);
    expect(JSON.parse(stdout)).toEqual({ error: stderr.trim() });
  });
});

test('demo hands its options to the demo of the checkout', () => {
  fs.symlinkSync(path.join(root, 'examples'), path.join(directory, 'examples'), 'dir');
  const help = cli(directory, ['demo', '--help']);
  expect(help).toMatchObject({ status: 0, stderr: '' });
  expect(help.stdout).toContain('--optimizer NAME');
  const { status, stderr } = cli(directory, ['demo', '--stps', '3']);
  expect(status).toBe(2);
  expect(stderr).toContain('did you mean --steps?');
});
