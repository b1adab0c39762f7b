'use strict';

// Every formatter and linter, one summary:
//   node scripts/lint.js          reports
//   node scripts/lint.js --fix    writes what a tool can write, reports the rest

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const fix = process.argv.includes('--fix');

/** The C and C++ files, relative to the root. */
function cppFiles() {
  return ['native', 'bench/native', 'test/native', 'examples/native-addon']
    .filter((directory) => fs.existsSync(path.join(root, directory)))
    .flatMap((directory) =>
      fs
        .readdirSync(path.join(root, directory), { recursive: true })
        .map((name) => path.join(directory, name)),
    )
    .filter(
      (file) => /\.(?:c|h|cpp|cc|cu|cuh)$/.test(file) && !/(?:^|[\\/])(?:build|node_modules)[\\/]/.test(file),
    )
    .sort();
}

/** The script of a tool that is a package of this repository. */
function script(packageName, file) {
  return path.join(path.dirname(require.resolve(`${packageName}/package.json`)), file);
}

function clangFormat() {
  const machine = process.platform === 'win32' ? 'win32' : `${process.platform}_${process.arch}`;
  if (!fs.existsSync(script('clang-format', path.join('bin', machine)))) {
    return { skip: `its package has no binary for ${machine}` };
  }
  const args = fix ? ['-i'] : ['--dry-run', '--Werror'];
  return { command: process.execPath, args: [script('clang-format', 'index.js'), ...args, ...cppFiles()] };
}

/** In the order of the summary. With --fix they run one after another, since several write the same files. */
const tools = [
  {
    name: 'prettier',
    command: process.execPath,
    args: [script('prettier', 'bin/prettier.cjs'), fix ? '--write' : '--check', '--log-level', 'warn', '.'],
  },
  {
    name: 'eslint',
    command: process.execPath,
    args: [script('eslint', 'bin/eslint.js'), '--max-warnings', '0', ...(fix ? ['--fix'] : []), '.'],
  },
  { name: 'clang-format', ...clangFormat() },
  {
    name: 'cpplint',
    command: process.platform === 'win32' ? 'python' : 'python3',
    // Python's own notes about the age of cpplint's code are not findings.
    args: ['-W', 'ignore', script('cc', 'bin/cpplint.py'), '--quiet', ...cppFiles()],
  },
];

function run({ name, command, args, skip }) {
  const started = Date.now();
  return new Promise((resolve) => {
    const end = (ok, output) => resolve({ name, ok, output, skip, seconds: (Date.now() - started) / 1000 });
    if (skip) return end(true, '');
    const child = spawn(command, args, { cwd: root });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', (error) => end(false, `${command} did not start: ${error.message}`));
    child.on('close', (status) => end(status === 0, output));
  });
}

async function main() {
  const results = [];
  if (fix) for (const tool of tools) results.push(await run(tool));
  else results.push(...(await Promise.all(tools.map(run))));

  for (const { name, ok, output } of results) {
    if (!ok) console.error(`--- ${name}\n${output.trim()}\n`);
  }
  for (const { name, ok, skip, seconds } of results) {
    const verdict = skip ? `not run: ${skip}` : ok ? `ok, ${seconds.toFixed(1)} s` : 'FAILED, see above';
    console.log(`${name.padEnd(13)} ${verdict}`);
  }
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}

main();
