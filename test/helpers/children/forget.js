'use strict';
// Forgets optimizers, parameters and state views at every moment, collecting garbage all the time.
const { AdamW } = require('fused-optim');

/** Starts a step and returns what is not forgotten. */
function start(i) {
  const length = 200_000 + i;
  const param = { data: new Float32Array(length), grad: new Float32Array(length).fill(1) };
  const optimizer = new AdamW([param], { lr: 1 });
  optimizer.step();
  const { data } = param;
  const { expAvg } = optimizer.state(param);
  const promise = optimizer.stepAsync();
  if (i % 3 === 0) param.data = param.grad = null;
  return { promise, data, expAvg };
}

async function main() {
  let sum = 0;
  for (let i = 0; i < 40; ++i) {
    const { promise, data, expAvg } = start(i);
    global.gc();
    if (i % 2 === 0) await promise;
    global.gc();
    sum += expAvg[0] > 0 && data[0] < 0 ? 1 : 0;
  }
  global.gc();
  console.log(`${sum} remembered`);
}

main();
