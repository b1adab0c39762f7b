'use strict';

// The communicator of a worker thread, whose main thread cannot have another.
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const { mpi } = require('fused-optim');

async function inWorker() {
  const comm = mpi();
  const data = new Float32Array(3).fill(comm.rank + 1);
  await comm.allReduce(data);
  parentPort.postMessage([comm.rank, comm.size, ...data].join());
}

function inMain() {
  const worker = new Worker(__filename);
  let result;
  worker.on('message', (message) => (result = message));
  worker.on('error', (error) => console.log(error));
  worker.on('exit', () => {
    try {
      mpi();
    } catch (error) {
      console.log(`rank ${result}: ${error.message}`);
    }
  });
}

if (isMainThread) inMain();
else inWorker();
