'use strict';

// What must hold of a binary before it is shipped.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { root } = require('../sources');
const { machines } = require('./targets');

const mostBytes = 4 * 2 ** 20;

const numbers = (version) => version.split('.').map(Number);
const newer = (a, b) => {
  const [x, y] = [numbers(a), numbers(b)];
  const i = x.findIndex((n, k) => n !== (y[k] ?? 0));
  return i >= 0 && x[i] > (y[i] ?? 0);
};

/** The versioned symbols of glibc that a binary asks for, as `[symbol, version]`. */
function glibcSymbols(file, nm = 'nm') {
  const { stdout, error, stderr, status } = spawnSync(nm, ['-D', '--undefined-only', file], {
    encoding: 'utf8',
  });
  if (error || status !== 0) throw new Error(`${nm} ${file}: ${error?.message ?? stderr.trim()}`);
  return [...stdout.matchAll(/^\s*\w (\S+?)@GLIBC_([\d.]+)/gm)].map(([, symbol, version]) => [
    symbol,
    version,
  ]);
}

/** The newest glibc that a binary asks for; undefined where it asks for none. */
function glibcNeeded(file, nm) {
  return glibcSymbols(file, nm)
    .map(([, version]) => version)
    .reduce((most, version) => (most === undefined || newer(version, most) ? version : most), undefined);
}

function tooNew(file, { glibc }, nm) {
  const problems = glibcSymbols(file, nm)
    .filter(([, version]) => newer(version, glibc))
    .map(
      ([symbol, version]) => `${file} asks for ${symbol} of glibc ${version}; expected ${glibc} or older.`,
    );
  if (problems.length > 0) problems.push('native/node/old_glibc.cpp says how a call gets to an older one.');
  return problems;
}

/** What is wrong with a binary that is to be shipped for a target; `nm` reads that target's files. */
function binaryProblems(file, target, nm = 'nm') {
  const bytes = fs.readFileSync(file);
  const machine = bytes.readUInt16LE(18);
  if (bytes.toString('latin1', 0, 4) !== '\x7fELF' || machine !== machines[target.arch])
    return [`${file} is not made for ${target.name}.`];
  const problems = target.glibc ? tooNew(file, target, nm) : [];
  if (bytes.length > mostBytes)
    problems.push(`${file} has ${bytes.length} bytes; expected at most ${mostBytes}.`);
  for (const place of [root, '/home/', '/tmp/'])
    if (bytes.includes(place)) problems.push(`${file} names a place on the machine that built it: ${place}`);
  if (!target.glibc && bytes.includes('libc.so.6'))
    problems.push(`${file} is linked with glibc, not with musl.`);
  const script = path.join(root, 'scripts', 'check-symbols.js');
  const symbols = spawnSync(process.execPath, [script, file], {
    encoding: 'utf8',
    env: { ...process.env, NM: nm },
  });
  if (symbols.status !== 0) problems.push(symbols.stderr.trim());
  return problems;
}

module.exports = { binaryProblems, glibcNeeded, mostBytes };
