'use strict';
// Saves again and again, after every step, until it is killed. Weights are not needed: step n has a state of its own.
const { Adam } = require('fused-optim');

const length = 300_000;

async function main() {
  const file = process.argv[2];
  const params = ['a', 'b'].map((name) => ({
    name,
    data: new Float32Array(length),
    grad: new Float32Array(length),
  }));
  const optimizer = new Adam(params, { betas: [0, 0] });
  for (let step = 1; ; ++step) {
    params.forEach(({ grad }) => grad.fill(step));
    optimizer.step();
    await optimizer.save(file);
    if (step === 1) process.stdout.write('saved\n');
  }
}

main();
