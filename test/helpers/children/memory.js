'use strict';
// Runs out of memory for states, by a limit on this process that is lifted afterwards.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const { Adam } = require('fused-optim');

const mebibyte = 2 ** 20;

/** Bytes of address space this process may take in addition to what it has. */
function limit(more) {
  const used = Number(/VmSize:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  const soft = more === Infinity ? 'unlimited' : used + more;
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(process.pid), `--as=${soft}:unlimited`]);
  if (status !== 0) throw new Error(String(stderr));
}

function tensors(length) {
  return [7, length].map((n) => ({ data: new Float32Array(n), grad: new Float32Array(n).fill(1) }));
}

const messages = [];
const note = (error) => messages.push(`${error.name}: ${error.message}`);

async function main() {
  const params = tensors(64 * mebibyte);
  const donor = new Adam(params, { lr: 0 });
  donor.step();
  const dict = donor.stateDict();
  donor.dispose();
  const optimizer = new Adam(params, { lr: 1 });
  const before = JSON.stringify([optimizer.stateDict(), optimizer.stateBytes()]);

  limit(64 * mebibyte);
  try {
    optimizer.step();
  } catch (error) {
    note(error);
  }
  await optimizer.stepAsync().catch(note);
  try {
    optimizer.loadStateDict(dict);
  } catch (error) {
    note(error);
  }
  const untouched = params.every(({ data }) => data.every((value) => value === 0));
  const same = JSON.stringify([optimizer.stateDict(), optimizer.stateBytes()]) === before;

  limit(Infinity);
  const { step } = optimizer.step();
  const stepped = params.every(({ data }) => Math.abs(data.at(-1) + 1) < 1e-6);
  console.log(JSON.stringify({ messages, untouched, same, step, stepped }));
}

main();
