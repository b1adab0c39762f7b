'use strict';
// Ends the process while a step is running: in the way and after the milliseconds given.
const { Worker, isMainThread } = require('node:worker_threads');
const { Adam } = require('fused-optim');

const [way, delay] = process.argv.slice(2);

function start() {
  const length = 1 << 21;
  const params = [{ data: new Float32Array(length), grad: new Float32Array(length) }];
  const optimizer = new Adam(params);
  optimizer.stepAsync().then(
    () => console.log('resolved'),
    () => console.log('rejected'),
  );
  return optimizer;
}

const ways = {
  exit: () => process.exit(7),
  throw: () => {
    throw new Error('on purpose');
  },
  end: () => undefined, // the step is waited for
};

if (isMainThread && way === 'worker') {
  const worker = new Worker(module.filename, { argv: ['exit', delay] });
  worker.once('exit', (code) => (process.exitCode = code));
} else {
  start();
  if (Number(delay) === 0) ways[way]();
  else setTimeout(ways[way], Number(delay));
}
