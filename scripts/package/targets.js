'use strict';

// The platforms that binaries are shipped for, and the compilers that can make them here.

const { spawnSync } = require('node:child_process');
const { findCompiler } = require('../../test/native/build');
// Built before any binary: see package.js.
const { platformName } = require('../../dist/platform');

/** `glibc`: the newest version of its symbols that may be asked for, which is what Node's own binaries ask for. */
const targets = [
  { name: 'linux-x64', arch: 'x64', compilers: ['x86_64-linux-gnu-g++'], glibc: '2.28' },
  { name: 'linux-arm64', arch: 'arm64', compilers: ['aarch64-linux-gnu-g++'], glibc: '2.28' },
  { name: 'linux-x64-musl', arch: 'x64', compilers: ['x86_64-linux-musl-g++', 'musl-g++'] },
  { name: 'linux-arm64-musl', arch: 'arm64', compilers: ['aarch64-linux-musl-g++'] },
];

/** What an ELF file says it is made for: x86-64 is machine 62, AArch64 183. */
const machines = { x64: 62, arm64: 183 };

const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** The compiler of a target as a list of words; undefined where there is none. */
function compilerOf({ name, compilers }) {
  // $CXX and a plain g++ are compilers for the machine they are on.
  if (name === platformName()) return findCompiler();
  const found = compilers.find(runs);
  return found && [found];
}

/** The binutils beside a compiler, or the machine's own, which read every ELF file but strip only their own. */
function tool(compiler, name) {
  const beside = /^(.*-)g\+\+$/.exec(compiler[0])?.[1];
  return beside && runs(beside + name) ? beside + name : name;
}

module.exports = { compilerOf, machines, targets, tool };
