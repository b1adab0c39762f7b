'use strict';

// How programs of this repository are started: TypeScript in a checkout, what it was compiled to in a packed tree.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { packed } = require('../commit');

const root = path.join(__dirname, '..', '..');

/** Arguments of Node that run a program, named without its extension. */
function program(name, ...args) {
  const file = path.join(root, name);
  return packed()
    ? [`${file}.js`, ...args]
    : ['-r', 'ts-node/register/transpile-only', `${file}.ts`, ...args];
}

/** Runs a command to its end, or to `seconds`. Returns all it printed. */
function runCommand(command, args, { seconds, environment = {} } = {}) {
  const started = Date.now();
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
    ...(seconds !== undefined && { timeout: Math.ceil(Math.max(1, seconds) * 1000), killSignal: 'SIGKILL' }),
  });
  const late = error?.code === 'ETIMEDOUT';
  return {
    status: error && !late ? null : status,
    late,
    missing: error?.code === 'ENOENT',
    ended: late
      ? `did not end within ${Math.round(seconds)} s`
      : `ended with ${signal ?? `status ${status}`}`,
    output: `${stdout ?? ''}${stderr ?? ''}`,
    seconds: (Date.now() - started) / 1000,
  };
}

/** What the library says of CUDA here, and of its stand-in. */
function cudaHere() {
  const source = "process.stdout.write(JSON.stringify(require('./lib').backends().cuda))";
  const register = packed() ? [] : ['-r', 'ts-node/register/transpile-only'];
  const { status, output, ended } = runCommand(process.execPath, [...register, '-e', source], {
    seconds: 120,
  });
  if (status !== 0)
    return { available: false, reason: `the library ${ended}: ${output.trim().slice(-500)}`, devices: [] };
  return JSON.parse(output.slice(output.indexOf('{"available"')));
}

/** Test files with tests of CUDA memory: their own, and golden trajectories, which run on every backend. */
function cudaTests() {
  const inFolder = (folder) =>
    fs
      .readdirSync(path.join(root, folder))
      .filter((name) => /\.test\.[jt]s$/.test(name))
      .map((name) => path.join(root, folder, name));
  return ['test/cuda', 'test/optimizers', 'test'].flatMap(inFolder).filter((file) => {
    const text = fs.readFileSync(file, 'utf8');
    // Tests of the installed package need all of the repository, which a pack is not.
    const fitting = !packed() || !/['"]\.\.?\/house\//.test(text);
    return fitting && /helpers\/(?:cuda|golden)['"]/.test(text);
  });
}

/** The arguments of jest that run them and write a report. */
function jestArguments(report) {
  const jest = path.join(path.dirname(require.resolve('jest/package.json')), 'bin', 'jest.js');
  const config = packed() ? ['--config', path.join(root, 'jest.packed.config.js')] : [];
  // One GPU: tests beside each other would only wait for each other, and for its memory.
  return [
    jest,
    ...config,
    '--runInBand',
    '--json',
    '--outputFile',
    report,
    '--runTestsByPath',
    ...cudaTests(),
  ];
}

module.exports = { cudaHere, jestArguments, program, root, runCommand };
