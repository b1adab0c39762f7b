'use strict';
// Ends worker threads while their steps are running, synchronous and asynchronous ones, and while many tensors are
// being read for one.
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { Adam } = require('fused-optim');

const repetitions = 16;
const kinds = ['sync', 'async', 'many', 'async'];

async function work(kind) {
  const length = kind === 'many' ? 4 : 1 << 20;
  const params = Array.from({ length: kind === 'many' ? 2000 : 1 }, () => ({
    data: new Float32Array(length),
    grad: new Float32Array(length).fill(1),
  }));
  const optimizer = new Adam(params);
  parentPort.postMessage('begin');
  for (;;) {
    if (kind === 'many') for (const param of params) param.data = param.data.slice();
    if (kind === 'async') await optimizer.stepAsync();
    else optimizer.step();
  }
}

async function main() {
  let terminated = 0;
  for (let i = 0; i < repetitions; ++i) {
    const worker = new Worker(module.filename, { workerData: kinds[i % kinds.length] });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await new Promise((resolve) => setTimeout(resolve, (i * 7) % 20));
    await worker.terminate();
    ++terminated;
  }
  // The pool that the workers shared still works.
  const param = { data: new Float32Array(1 << 20), grad: new Float32Array(1 << 20).fill(1) };
  const optimizer = new Adam([param], { lr: 1 });
  optimizer.step();
  await optimizer.stepAsync();
  const right = param.data.every((value) => Math.abs(value + 2) < 1e-4);
  console.log(`${terminated} terminated, then ${right ? 'right' : 'wrong'}`);
}

if (isMainThread) main();
else work(workerData);
