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
    ...(seconds !== undefined && { timeout: Math.max(1, seconds) * 1000, killSignal: 'SIGKILL' }),
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

/** The arguments of jest for the suites that run on a GPU, or why there are none. */
function jestArguments(report) {
  const folder = path.join(root, 'test', 'cuda');
  const suites = fs.existsSync(folder)
    ? fs.readdirSync(folder).filter((name) => /\.test\.[jt]s$/.test(name))
    : [];
  if (suites.length === 0) return 'there is no suite in test/cuda';
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
    '--testPathPatterns',
    'test/cuda/',
  ];
}

module.exports = { cudaHere, jestArguments, program, root, runCommand };
