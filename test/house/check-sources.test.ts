import fs from 'node:fs';
import path from 'node:path';
import { root, runNode, scratchDirectory, writeFiles } from './scratch';

const script = path.join(root, 'scripts', 'check-sources.js');
const good = {
  'native/sources.json': JSON.stringify({
    core: ['native/core/a.cpp'],
    kernels: ['native/cpu/kernels.cpp'],
    isas: { x64: ['scalar'], other: ['scalar'] },
    flags: { common: [], scalar: [] },
  }),
  'native/core/a.cpp': '',
  'native/cpu/kernels.cpp': '',
  'binding.gyp': '{ "target_name": "kernels_scalar" } # once named a.cpp',
  'CMakeLists.txt': 'add_library(addon ${core})',
};

function check(changes: Readonly<Record<string, string>>, removed?: string) {
  const directory = fs.mkdtempSync(path.join(scratch, 'tree-'));
  writeFiles(directory, { ...good, ...changes });
  if (removed) fs.rmSync(path.join(directory, removed));
  return runNode([script, directory], root);
}

const scratch = scratchDirectory();

describe('check-sources', () => {
  test('passes on a tree whose list and files agree', () => {
    expect(check({})).toEqual({ status: 0, output: expect.stringContaining('2 native sources') as string });
  });

  test('passes on this repository', () => {
    expect(runNode([script], root).status).toBe(0);
  });

  test.each(['native/core/b.cpp', 'native/cuda/loop.cu', 'native/node/c.cc'])(
    'fails on %s in no list',
    (file) => {
      const { status, output } = check({ [file]: '' });
      expect(status).toBe(1);
      expect(output).toContain(`${file} is in no list`);
    },
  );

  test('fails on a listed file that does not exist', () => {
    const { status, output } = check({}, 'native/core/a.cpp');
    expect(status).toBe(1);
    expect(output).toContain('native/core/a.cpp, which does not exist');
  });

  test.each(['binding.gyp', 'CMakeLists.txt'])('fails on a source named in %s itself', (file) => {
    const { status, output } = check({ [file]: `"kernels_scalar" "native/core/a.cpp"` });
    expect(status).toBe(1);
    expect(output).toContain(`${file} names native/core/a.cpp itself`);
  });

  test('lets CUDA share sources of the addon, and no others', () => {
    const list = JSON.parse(good['native/sources.json']) as object;
    const cuda = (shared: string) => ({
      'native/sources.json': JSON.stringify({
        ...list,
        cuda: { shared: [shared], kernels: ['native/cuda/k.cu'] },
      }),
      'native/cuda/k.cu': '',
    });
    expect(check(cuda('native/core/a.cpp')).status).toBe(0);
    const { status, output } = check(cuda('native/core/b.cpp'));
    expect(status).toBe(1);
    expect(output).toContain('shares native/core/b.cpp with CUDA');
  });

  test('fails on a kernel in a list of C++ sources', () => {
    const list = JSON.parse(good['native/sources.json']) as object;
    const { status, output } = check({
      'native/sources.json': JSON.stringify({ ...list, cuda: { core: ['native/cuda/k.cu'], kernels: [] } }),
      'native/cuda/k.cu': '',
    });
    expect(status).toBe(1);
    expect(output).toContain('native/cuda/k.cu in the wrong list');
  });

  test('fails on an instruction set without a gyp target', () => {
    const { status, output } = check({ 'binding.gyp': '{}' });
    expect(status).toBe(1);
    expect(output).toContain('no target "kernels_scalar"');
  });
});
