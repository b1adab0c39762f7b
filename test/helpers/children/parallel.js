'use strict';
// Steps in several worker threads at once, each with optimizers of its own over a gradient that all share; prints
// whether every one came to the same bits as a thread that is alone.
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const optimizers = require('fused-optim');

const names = ['AdamW', 'RMSprop', 'Lion', 'NAdam'];
const length = 150_000;
const steps = 12;

async function train(name, grad, threads) {
  const small = Array.from({ length: 50 }, (_, i) => ({
    data: new Float32Array(i).fill(i),
    grad: grad.subarray(i, 2 * i),
  }));
  const params = [{ data: new Float32Array(length).fill(1), grad }, ...small];
  const optimizer = new optimizers[name](params, { lr: 0.01, threads });
  for (let step = 0; step < steps; ++step) {
    if (step % 3 === 0) await optimizer.stepAsync();
    else optimizer.step();
  }
  const bytes = params.map(({ data }) => Buffer.from(data.buffer));
  return Buffer.concat(bytes).toString('latin1');
}

async function main() {
  const grad = new Float32Array(new SharedArrayBuffer(4 * length)).map((_, i) => Math.sin(i));
  const shared = new Float32Array(new SharedArrayBuffer(4 * length));
  shared.set(grad);
  const expected = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await train(name, shared, 1)])),
  );
  const jobs = [...names, ...names].map(
    (name, i) =>
      new Promise((resolve, reject) => {
        const worker = new Worker(module.filename, { workerData: { name, shared, threads: 1 + (i % 4) } });
        worker.once('message', (bits) => resolve(bits === expected[name])).once('error', reject);
      }),
  );
  const meanwhile = train('AdamW', shared, 2).then((bits) => bits === expected.AdamW);
  const same = await Promise.all([...jobs, meanwhile]);
  const untouched = shared.every((value, i) => value === grad[i]);
  console.log(
    `${same.filter(Boolean).length} of ${same.length} the same, gradient ${untouched ? 'kept' : 'written'}`,
  );
}

if (isMainThread) {
  main();
} else {
  const { name, shared, threads } = workerData;
  train(name, shared, threads).then((bits) => parentPort.postMessage(bits));
}
