'use strict';
// Two workers use one device at the same time, each with its own handles; a pointer goes from one to the other.
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { cuda } = require('fused-optim');

const length = 100_000;

async function work({ pointer, seed }) {
  const shared = cuda.fromPointer(pointer, { shape: [length] });
  let right = 0;
  for (let i = 0; i < 20; ++i) {
    const array = new Float32Array(length).fill(seed + i);
    const tensor = cuda.from(array);
    await tensor.uploadAsync(array);
    const down = i % 2 ? tensor.download() : await tensor.downloadAsync();
    right += down.every((value) => value === seed + i) && shared.download()[1] === 5 ? 1 : 0;
    tensor.free();
  }
  parentPort.postMessage(right);
  if (seed === 0) shared.uploadAsync(new Float32Array(length).fill(5)); // and ends meanwhile
}

async function main() {
  const tensor = cuda.from(new Float32Array(length).fill(5));
  const run = (seed) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(module.filename, { workerData: { pointer: tensor.pointer, seed } });
      let right = 0;
      worker.on('message', (count) => (right = count));
      worker.on('error', reject).on('exit', () => resolve(right));
    });
  console.log((await Promise.all([run(0), run(100)])).join(' '));
  for (let i = 0; i < 6; ++i) {
    const worker = new Worker(module.filename, { workerData: { pointer: tensor.pointer, seed: i } });
    await new Promise((resolve) => setTimeout(resolve, 40 + i * 10));
    await worker.terminate();
  }
  cuda.synchronize();
  console.log(tensor.download().every((value) => value === 5));
}

if (isMainThread) main();
else work(workerData);
