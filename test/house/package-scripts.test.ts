import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, root, run, runNode, scratchDirectory, writeFiles } from './scratch';

/** Scripts that make and check what is published, and what they would say about a package that is not right. */
const scratch = scratchDirectory();
const checks = path.join(root, 'scripts', 'package', 'checks.js');
const contents = path.join(root, 'scripts', 'package', 'contents.js');

beforeAll(() => {
  // They read the name of the platform from dist/.
  if (!fs.existsSync(path.join(root, 'dist', 'platform.js')))
    expect(runNode(['scripts/build-ts.js'], root)).toMatchObject({ status: 0 });
}, 60_000);

/** What `module` finds, called in a process of its own, as the scripts do. */
function problems(module: string, name: string, ...args: readonly unknown[]): string[] {
  const program = `console.log(JSON.stringify(require(process.argv[1]).${name}(...JSON.parse(process.argv[2]))))`;
  const { status, output } = runNode(['-e', program, module, JSON.stringify(args)], root);
  expect({ status, output }).toMatchObject({ status: 0 });
  return JSON.parse(output) as string[];
}

describe('the files of a package', () => {
  /** A package with little in it but what a build from source needs; `files` change or add something. */
  function contentProblems(files: Readonly<Record<string, string>>, manifest: object = {}) {
    const directory = fs.mkdtempSync(path.join(scratch, 'package-'));
    copyFromRoot(directory, [
      'binding.gyp',
      'LICENSE',
      'README.md',
      'scripts/build-mpi.js',
      'scripts/install.js',
      'scripts/sources.js',
    ]);
    fs.cpSync(path.join(root, 'native'), path.join(directory, 'native'), {
      recursive: true,
      filter: (name) => !name.endsWith('.cfg'),
    });
    const whole = {
      name: 'fused-optim',
      main: './dist/index.js',
      dependencies: { commander: '1' },
      ...manifest,
    };
    writeFiles(directory, { 'package.json': JSON.stringify(whole), 'dist/index.js': '', ...files });
    return problems(contents, 'contentProblems', directory);
  }

  test('may be these', () => {
    const text = "require('commander');require('node:fs');require('./other');import('fused-optim')";
    expect(contentProblems({ 'dist/index.js': text, 'dist/other.js': '' })).toEqual([]);
  });

  test.each([
    [
      'a dependency of developers only',
      { 'dist/index.js': 'require("typescript")' },
      /imports typescript, which no user/,
    ],
    [
      'a module that is left out',
      { 'dist/index.js': 'require("./absent")' },
      /imports \.\/absent, which is not in/,
    ],
    ['a path of this machine', { 'dist/index.js': `"${root}/lib"` }, /absolute path/],
    [
      'a source map without its source',
      { 'dist/index.js.map': '{"sources":["../lib/x.ts"]}' },
      /points to lib\/x\.ts/,
    ],
    ['a test', { 'test/some.test.ts': '' }, /test\/some\.test\.ts does not belong/],
    ['too much JavaScript', { 'dist/index.js': ' '.repeat(300_000) }, /JavaScript has 3\d+ bytes/],
  ])('may not hold %s', (_, files, sentence) => {
    expect(contentProblems(files)).toEqual([expect.stringMatching(sentence)]);
  });

  test('hold all that package.json names', () => {
    const exports = { '.': { import: { types: './dist/absent.d.mts', default: './dist/index.js' } } };
    expect(contentProblems({}, { exports })).toEqual([
      'package.json names ./dist/absent.d.mts (exports › . › import › types), which is not in the package.',
    ]);
  });
});

const onLinux = process.platform === 'linux' ? describe : describe.skip;

onLinux('a binary', () => {
  const target = { name: `linux-${process.arch}`, arch: process.arch, glibc: '2.99' };

  function binaryProblems(source: string, of: object = target, flags: readonly string[] = []) {
    const directory = fs.mkdtempSync(path.join(scratch, 'binary-'));
    writeFiles(directory, { 'addon.cpp': `extern "C" void napi_register_module_v1() {} ${source}` });
    const args = ['-shared', '-fPIC', '-w', ...flags, 'addon.cpp', '-o', 'addon.node'];
    expect(run(process.env.CXX ?? 'c++', args, directory)).toEqual({ status: 0, output: '' });
    return problems(checks, 'binaryProblems', path.join(directory, 'addon.node'), of);
  }
  const pow = 'extern "C" double pow(double, double); static double x = pow(2, 3);';

  test('that is as it should be has no problem', () => {
    expect(binaryProblems('')).toEqual([]);
  });

  test('may not ask for a newer glibc than Node does', () => {
    const found = binaryProblems(pow, { ...target, glibc: '2.1' }, ['-fno-builtin', '-lm']);
    expect(found[0]).toMatch(/asks for \S+ of glibc 2\.\d+(?:\.\d+)?; expected 2\.1 or older/);
  });

  test('may not be of another architecture, export more than its entry points, or tell where it was built', () => {
    const other = process.arch === 'x64' ? 'arm64' : 'x64';
    expect(binaryProblems('', { name: `linux-${other}`, arch: other })).toEqual([
      expect.stringMatching(`is not made for linux-${other}`),
    ]);
    expect(binaryProblems('void cudaMalloc() {}')).toEqual([expect.stringContaining('exports cudaMalloc')]);
    const told = binaryProblems('__attribute__((used)) static const char* where = "/home/somebody";');
    expect(told).toEqual([expect.stringContaining('/home/')]);
  });
});

describe('package.js', () => {
  test('says which targets there are', () => {
    const { status, output } = runNode(['scripts/package.js', '--binaries', '--targets', 'plan9'], root);
    expect(status).toBe(1);
    expect(output).toMatch(/Expected --targets to be of linux-x64, linux-arm64, .* but received "plan9"/);
  });
});
