'use strict';

// Compiles and links what scripts/test-native.js and others ask for, and only what has changed since.

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { root } = require('../../scripts/sources');

/** The C++ compiler as a list of words: $CXX, else the first that is installed. */
function findCompiler() {
  if (process.env.CXX) return process.env.CXX.trim().split(/\s+/);
  const found = ['g++', 'clang++', 'c++'].find((name) => spawnSync(name, ['--version']).status === 0);
  return found && [found];
}

function capture([command, ...args], options = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    ...options,
  });
  const reason = error?.message ?? (stderr?.trim() || `it ended with ${signal ?? `status ${status}`}`);
  return { ok: status === 0, stdout, reason };
}

const modified = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;

/** Whether `target` was made by the same command from files that have not changed since. */
function fresh(target, command, inputs) {
  const record = `${target}.cmd`;
  if (!fs.existsSync(target) || !fs.existsSync(record)) return false;
  if (fs.readFileSync(record, 'utf8') !== command.join('\n')) return false;
  const made = modified(target);
  return inputs().every((file) => modified(file) <= made);
}

/** The files a compiler's dependency list (-MMD) names. */
function listedDependencies(file) {
  if (!fs.existsSync(file)) return [path.join(root, 'no such list')];
  const [, list] = /:\s([\s\S]*)/.exec(fs.readFileSync(file, 'utf8').replaceAll('\\\n', ' ')) ?? [];
  return (list ?? '')
    .split(/\s+/)
    .filter(Boolean)
    .map((name) => path.resolve(root, name));
}

/** Flags of a build with sanitizers, if any are named. */
function sanitizerFlags(names) {
  if (names.length === 0) return [];
  // Reports name lines; descriptions of variables, which they do without, take a fifth of the compiler's time.
  const report = ['-fno-sanitize-recover=all', '-g1', '-fno-omit-frame-pointer'];
  return [`-fsanitize=${names.join(',')}`, ...report];
}

/** Flags that keep a sanitizer's checks of memory but those of locals, which vector code has by the thousand. */
function withoutLocals(compiler) {
  const isClang = /clang/.test(capture([...compiler, '--version']).stdout ?? '');
  // Guarding each makes a compilation ten times as long.
  return ['-fno-sanitize-address-use-after-scope', ...(isClang ? [] : ['--param', 'asan-stack=0'])];
}

function spawned([command, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('close', (status) =>
      status === 0 ? resolve() : reject(new Error(`This command failed: ${[command, ...args].join(' ')}`)),
    );
  });
}

class Build {
  /** Everything goes under `directory`; `flags` are given to every compilation and every link. */
  constructor(compiler, directory, flags) {
    this.compiler = compiler;
    this.directory = directory;
    this.flags = flags;
    this.jobs = [];
  }

  /** Plans the compilation of `source` into <directory>/<name>.o; returns that path. */
  object(name, source, flags) {
    const file = path.join(this.directory, `${name}.o`);
    const command = [...this.compiler, ...this.flags, ...flags, '-MMD', '-c', source, '-o', file];
    this.jobs.push({ file, command, inputs: () => listedDependencies(file.replace(/\.o$/, '.d')) });
    return file;
  }

  /** Compiles what was planned, as many at a time as there are cores. */
  async compile() {
    const stale = this.jobs.filter(({ file, command, inputs }) => !fresh(file, command, inputs));
    const next = async () => {
      for (let job = stale.shift(); job; job = stale.shift()) await this.make(job);
    };
    this.jobs = [];
    // All end before an error is told, so that no compiler prints behind the last line.
    const ends = await Promise.allSettled(Array.from({ length: os.availableParallelism() }, next));
    const failure = ends.find(({ status }) => status === 'rejected');
    if (failure) throw failure.reason;
  }

  async link(name, objects, flags = []) {
    const file = path.join(this.directory, name);
    const command = [...this.compiler, ...objects, ...this.flags, ...flags, '-o', file];
    if (!fresh(file, command, () => objects)) await this.make({ file, command });
    return file;
  }

  async make({ file, command }) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.rmSync(`${file}.cmd`, { force: true });
    await spawned(command);
    fs.writeFileSync(`${file}.cmd`, command.join('\n'));
  }
}

module.exports = {
  Build,
  capture,
  findCompiler,
  listedDependencies,
  modified,
  sanitizerFlags,
  withoutLocals,
};
