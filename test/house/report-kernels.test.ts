import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, runNode, scratchDirectory, writeFiles } from './scratch';

const scratch = scratchDirectory();
const symbol = '_ZN2fo4cuda5entryINS0_6DivideIfEELi4EEEvNT_4ArgsE';

// A compiler that leaves and says what nvcc does, for every architecture that it is asked for; it fails on sources
// that have "wrong" in them, and counts its calls.
const nvcc = `#!${process.execPath}
const fs = require('node:fs');
const args = process.argv.slice(2);
if (args[0] === '--version') process.exit();
const after = (option) => args[args.indexOf(option) + 1];
fs.appendFileSync('calls', 'x');
const [source, output, folder] = ['-c', '-o', '--keep-dir'].map(after);
fs.writeFileSync(folder + '/made.cpp1.ii', '');
console.error('made.cu:1: warning: made up');
if (fs.readFileSync(source, 'utf8').includes('wrong')) process.exit(3);
for (const [, number] of args.join(' ').matchAll(/code=sm_(\\d+)/g)) {
  fs.writeFileSync(folder + '/made.compute_' + number + '.ptx', '.target sm_' + number + '\\n.entry ${symbol}(\\n)\\n{\\n}\\n');
  console.error("ptxas info    : Compiling entry function '${symbol}' for 'sm_" + number + "'");
  console.error('    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads');
  console.error('ptxas info    : Used 20 registers');
}
fs.writeFileSync(output, '');
fs.writeFileSync(output.replace(/o$/, 'd'), 'made.o: ' + source);
`;

/** A copy of the check with one kernel source, and the compiler above on PATH. */
function tree(source: string) {
  const directory = fs.mkdtempSync(path.join(scratch, 'tree-'));
  const names = ['built-kernels.js', 'check-cuda.js', 'cuda-report.js', 'report-kernels.js', 'sources.js'];
  copyFromRoot(directory, [...names.map((name) => `scripts/${name}`), 'test/native/build.js']);
  const cuda = { kernels: ['native/made.cu'] };
  writeFiles(directory, {
    'native/sources.json': JSON.stringify({
      cuda,
      cudaArchitectures: ['80-real', '90'],
      flags: { nvcc: [] },
    }),
    'native/made.cu': source,
    'bin/nvcc': nvcc,
  });
  fs.chmodSync(path.join(directory, 'bin/nvcc'), 0o755);
  const env = { PATH: `${path.join(directory, 'bin')}${path.delimiter}${process.env.PATH ?? ''}` };
  return {
    check: (...args: string[]) => runNode(['scripts/check-cuda.js', ...args], directory, env),
    kept: () => fs.readdirSync(path.join(directory, 'build-cuda-check', 'made')).sort(),
    calls: () => fs.readFileSync(path.join(directory, 'calls'), 'utf8').length,
    write: (text: string) => writeFiles(directory, { 'native/made.cu': text }),
    directory,
  };
}

describe('report-kernels', () => {
  test('keeps the report, PTX and list of files of a source, and nothing else', () => {
    const { check, kept } = tree('right');
    const { status, output } = check();
    expect(output).toContain('2 kernels for sm_80, sm_90: all within budget.');
    expect(status).toBe(0);
    expect(kept()).toEqual(['made.compute_80.ptx', 'made.compute_90.ptx', 'made.d', 'ptxas.txt']);
  });

  test('shows what else the compiler says', () => {
    const { output } = tree('right').check();
    expect(output).toContain('made.cu:1: warning: made up');
    expect(output).not.toContain('ptxas info');
  });

  test('compiles again for other architectures, and for a source that has changed, alone', () => {
    const { check, calls, kept, write } = tree('right');
    check();
    check();
    expect(calls()).toBe(1);
    expect(check('--architectures', '90').status).toBe(0);
    expect(calls()).toBe(2);
    expect(kept()).not.toContain('made.compute_80.ptx');
    write('right, too');
    check('--architectures', '90');
    expect(calls()).toBe(3);
  });

  test('leaves no report of a source that does not compile', () => {
    const { check, directory, write } = tree('right');
    expect(check().status).toBe(0);
    write('wrong');
    const { status, output } = check();
    expect(output).toContain('This command failed: ');
    expect(status).toBe(1);
    expect(fs.existsSync(path.join(directory, 'build-cuda-check', 'made'))).toBe(false);
  });
});
