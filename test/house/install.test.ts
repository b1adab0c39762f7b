import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, root, runNode, scratchDirectory, writeFiles } from './scratch';

const scratch = scratchDirectory();
const platform = `${process.platform}-${process.arch}`;
const binary = path.join('prebuilds', platform, 'fused_optim.node');

/** Runs the install script of a package that has nothing but it; node-gyp is a stand-in that ends with `status`. */
function install(
  status: number,
  prepare: (directory: string) => void = () => undefined,
  env: NodeJS.ProcessEnv = {},
) {
  const directory = fs.mkdtempSync(path.join(scratch, 'package-'));
  copyFromRoot(directory, ['scripts/install.js']);
  const gyp = path.join(directory, 'node-gyp.js');
  writeFiles(directory, {
    'node-gyp.js': `console.log('node-gyp', process.argv[2]); process.exitCode = ${status};`,
  });
  prepare(directory);
  return runNode([path.join(directory, 'scripts', 'install.js')], directory, {
    npm_config_node_gyp: gyp,
    ...env,
  });
}

describe('install', () => {
  test('builds from source when there is no prebuilt binary', () => {
    expect(install(0)).toEqual({ status: 0, output: 'node-gyp rebuild\n' });
  });

  test('says what is needed when the build fails', () => {
    const { status, output } = install(1);
    expect(status).toBe(1);
    expect(output).toMatch(/build from source failed .*Python 3, make and a C\+\+17 compiler/);
  });

  test('says what to install where there is no compiler, and starts no build', () => {
    const empty = fs.mkdtempSync(path.join(scratch, 'empty-'));
    const { status, output } = install(0, () => undefined, {
      PATH: empty,
      CXX: '',
      MAKE: '',
      PYTHON: '',
      npm_config_python: '',
      NODE_GYP_FORCE_PYTHON: '',
    });
    expect(status).toBe(1);
    expect(output).toMatch(/^fused-optim: .*\(Python 3, make, a C\+\+ compiler not found;.*\n$/);
    expect(output).toContain('apt-get install python3 make g++');
    expect(output).toContain('npm rebuild fused-optim');
  });

  test('builds in a checkout, whatever was left there for packing', () => {
    const { output } = install(0, (directory) => {
      writeFiles(directory, { '.git': 'gitdir: elsewhere', [binary]: 'of older sources' });
    });
    expect(output).toBe('node-gyp rebuild\n');
    const [directory] = fs
      .readdirSync(scratch)
      .map((name) => path.join(scratch, name))
      .filter((name) => fs.existsSync(path.join(name, '.git')));
    expect(fs.existsSync(path.join(directory!, 'prebuilds'))).toBe(false);
  });

  test('uses a prebuilt binary that loads', () => {
    const { status, output } = install(1, (directory) => {
      const built = ['build', 'build-cmake'].map((build) =>
        path.join(root, build, 'Release', 'fused_optim.node'),
      );
      fs.mkdirSync(path.join(directory, path.dirname(binary)), { recursive: true });
      fs.copyFileSync(
        built.find((file) => fs.existsSync(file))!,
        path.join(directory, binary),
      );
    });
    expect(output).toBe(`fused-optim: using the prebuilt binary for ${platform}.\n`);
    expect(status).toBe(0);
  });

  test('falls back to a build when the prebuilt binary does not load', () => {
    const broken = (directory: string) => writeFiles(directory, { [binary]: 'not a binary' });
    expect(install(0, broken)).toEqual({ status: 0, output: 'node-gyp rebuild\n' });
    expect(install(1, broken).output).toMatch(/prebuilt binary for .*: Error: .*fused_optim\.node/);
  });
});
