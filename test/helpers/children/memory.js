'use strict';
// Runs out of memory for states, by a limit on this process that is lifted afterwards. Prints what each call said, and
// whether it left everything as it was.
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

async function main() {
  const params = tensors(24 * mebibyte);
  const donor = new Adam(params, { lr: 0 });
  donor.step();
  const dict = donor.stateDict();
  donor.dispose();
  const optimizer = new Adam(params, { lr: 1 });
  const look = () => JSON.stringify([optimizer.stateDict(), optimizer.stateBytes()]);
  const before = look();
  const unchanged = () => look() === before && params.every(({ data }) => data.every((value) => value === 0));

  limit(48 * mebibyte);
  const calls = {
    step: () => optimizer.step(),
    stepAsync: () => optimizer.stepAsync(),
    loadStateDict: () => optimizer.loadStateDict(dict),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await Promise.resolve()
      .then(call)
      .catch((thrown) => thrown);
    console.log(`${name}: ${error?.message} ${unchanged() ? 'unchanged' : 'changed'}`);
  }

  limit(Infinity);
  const { step } = optimizer.step();
  const stepped = params.every(({ data }) => Math.abs(data.at(-1) + 1) < 1e-6);
  console.log(`then step ${step} ${stepped ? 'moves' : 'does not move'} them`);
}

main();
