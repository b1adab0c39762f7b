import fs from 'node:fs';
import path from 'node:path';
import { candidates } from '../../lib/native';
import { platformName } from '../../lib/platform';
import { root, run, scratchDirectory, writeFiles, type Outcome } from './scratch';
import { packageTree } from './package-tree';

/**
 * The package as a stranger gets it: packed, installed in an empty folder with install scripts blocked, as newer npm does
 * unasked, on a machine without a compiler.
 */
const tree = packageTree();
const home = scratchDirectory();
const tools = path.join(home, 'bin');
const folder = path.join(home, 'project');
const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
let installed: Outcome;

const isOffline = ({ status, output }: Outcome) =>
  status !== 0 && /E(?:NOTFOUND|AI_AGAIN|CONNREFUSED|TIMEDOUT|NETUNREACH|NOTCACHED)|network/.test(output);

/** Runs a program where nothing but Node, npm and a shell can be found. */
const bare = (command: string, args: readonly string[]) => run(command, args, folder, { PATH: tools });

/** The binary that `npm run package` has made here, else the one of this checkout: the way to it is tested. */
function addBinary(directory: string) {
  const made = path.join(root, 'prebuilds');
  fs.rmSync(path.join(directory, 'prebuilds'), { recursive: true, force: true });
  if (fs.existsSync(made)) {
    fs.cpSync(made, path.join(directory, 'prebuilds'), { recursive: true });
    return;
  }
  const built = candidates(root).find((file) => fs.existsSync(file))!;
  const target = path.join(directory, 'prebuilds', platformName(), 'fused_optim.node');
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.copyFileSync(built, target);
}

beforeAll(() => {
  fs.mkdirSync(tools);
  fs.mkdirSync(folder);
  fs.symlinkSync(process.execPath, path.join(tools, 'node'));
  for (const name of ['npm', 'npx', 'sh']) {
    const found = run('sh', ['-c', `command -v ${name}`], home).output.trim();
    fs.symlinkSync(fs.realpathSync(found), path.join(tools, name));
  }
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md', 'binding.gyp', 'CMakeLists.txt', 'native'])
    fs.cpSync(path.join(root, name), path.join(tree, name), { recursive: true });
  addBinary(tree);
  const packed = run(
    'npm',
    ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', home],
    tree,
  );
  expect(packed).toMatchObject({ status: 0 });
  const archive = path.join(home, packed.output.trim().split('\n').at(-1)!);
  writeFiles(folder, { 'package.json': '{ "private": true }' });
  installed = bare('npm', [
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    archive,
  ]);
  if (isOffline(installed))
    console.warn(`Not tested: the dependencies cannot be had from npm's registry here.\n${installed.output}`);
}, 180_000);

describe('the package, installed from its archive without scripts and without a compiler', () => {
  /** A test that ends early, and said why above, where there is no network. */
  const onceInstalled = (name: string, body: () => void) =>
    test(
      name,
      () => {
        if (!isOffline(installed)) body();
      },
      60_000,
    );

  onceInstalled('installs', () => {
    expect(installed).toMatchObject({ status: 0 });
    for (const compiler of ['g++', 'cc', 'make', 'python3', 'nvcc'])
      expect(bare(compiler, ['--version']).output).toMatch(/ENOENT/);
    expect(fs.existsSync(path.join(folder, 'node_modules', 'fused-optim', 'build'))).toBe(false);
  });

  onceInstalled('runs the first example of the README as an ES module and as CommonJS', () => {
    const required = example.replace(/^import (.*) from (.*);$/m, 'const $1 = require($2);');
    expect(required).not.toBe(example);
    writeFiles(folder, { 'example.mjs': example, 'example.cjs': required });
    for (const file of ['example.mjs', 'example.cjs'])
      expect(bare('node', [file])).toEqual({ status: 0, output: 'y = 2.00 x + 1.00\n' });
  });

  onceInstalled('has a command line whose doctor finds the binary that came with it', () => {
    const { status, output } = bare('npx', ['--no-install', 'fused-optim', 'doctor', '--json']);
    expect({ status, output }).toMatchObject({ status: 0 });
    const binary = `node_modules/fused-optim/prebuilds/${platformName()}/fused_optim.node`;
    expect(output).toContain(binary);
  });
});
