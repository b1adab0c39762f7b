import fs from 'node:fs';
import path from 'node:path';
import { root, run, runNode, scratchDirectory, writeFiles } from './scratch';

const script = path.join(root, 'scripts', 'check-symbols.js');
const scratch = scratchDirectory();

/** Compiles C++ text as a kernel file of the scalar instruction set and checks the object. */
function check(source: string, name = 'kernels') {
  const directory = fs.mkdtempSync(path.join(scratch, 'tree-'));
  writeFiles(directory, { [`kernels_scalar/${name}.cpp`]: source });
  const target = path.join(directory, 'kernels_scalar');
  const compiled = run(process.env.CXX ?? 'c++', ['-O0', '-c', `${name}.cpp`, '-o', `${name}.o`], target);
  expect(compiled).toEqual({ status: 0, output: '' });
  return runNode([script, directory], root);
}

const entry = 'extern "C" int fo_kernels_scalar() { return 1; }\n';
const onLinux = process.platform === 'linux' ? describe : describe.skip;

onLinux('check-symbols', () => {
  test('passes on an object with its entry point and local symbols', () => {
    const { status, output } = check(`namespace { int twice(int x) { return 2 * x; } }
      extern "C" int fo_kernels_scalar() { return twice(1); }`);
    expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining('scalar') as string });
  });

  test('expects the entry point that the name of the file says', () => {
    expect(check('extern "C" int fo_gemm_scalar() { return 1; }', 'gemm').status).toBe(0);
    const { status, output } = check(entry, 'gemm');
    expect(status).toBe(1);
    expect(output).toContain('expected only fo_gemm_scalar');
  });

  test('fails on a weak symbol', () => {
    const { status, output } = check(`inline int twice(int x) { return 2 * x; }
      extern "C" int fo_kernels_scalar() { return twice(1); }`);
    expect(status).toBe(1);
    expect(output).toContain('weak symbol twice(int)');
  });

  test('fails on a second exported symbol', () => {
    const { status, output } = check(`${entry} int table[4] = {1, 2, 3, 4};`);
    expect(status).toBe(1);
    expect(output).toContain('exports table (D), expected only fo_kernels_scalar');
  });

  test('fails when the entry point is missing', () => {
    const { status, output } = check('static int unused;');
    expect(status).toBe(1);
    expect(output).toContain('does not export fo_kernels_scalar');
  });

  test.each([
    ['extern "C" void napi_register_module_v1() {} static void own() {}', 0, 'exports its entry points only'],
    ['extern "C" void napi_register_module_v1() {} void cudaMalloc() {}', 1, 'exports cudaMalloc()'],
    ['static void own() {}', 1, 'does not export napi_register_module_v1'],
  ])('reads what an addon exports: %s', (source, status, sentence) => {
    const directory = fs.mkdtempSync(path.join(scratch, 'addon-'));
    writeFiles(directory, { 'addon.cpp': source });
    const args = ['-shared', '-fPIC', '-w', 'addon.cpp', '-o', 'addon.node'];
    expect(run(process.env.CXX ?? 'c++', args, directory)).toEqual({ status: 0, output: '' });
    const outcome = runNode([script, path.join(directory, 'addon.node')], root);
    expect(outcome).toEqual({ status, output: expect.stringContaining(sentence) as string });
  });

  test('fails when there is no object', () => {
    const { status, output } = runNode([script, fs.mkdtempSync(path.join(scratch, 'empty-'))], root);
    expect(status).toBe(1);
    expect(output).toContain('No kernel object');
  });
});
