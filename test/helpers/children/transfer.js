'use strict';
// Takes buffers away from steps that are running, drops them and collects garbage: their memory may not be freed
// before the step has ended.
const { MessageChannel, receiveMessageOnPort } = require('node:worker_threads');
const { Adam } = require('fused-optim');

const length = 1 << 21;
const repetitions = 20;

const { port1, port2 } = new MessageChannel();

function takeAway({ buffer }) {
  port1.postMessage(buffer, [buffer]);
  receiveMessageOnPort(port2); // its new owner has no use for it
}

async function main() {
  let rejected = 0;
  for (let i = 0; i < repetitions; ++i) {
    const param = { data: new Float32Array(length), grad: new Float32Array(length).fill(1) };
    const optimizer = new Adam([param], { threads: 1 });
    const promise = optimizer.stepAsync().catch((error) => {
      if (/was detached/.test(error.message)) ++rejected;
    });
    takeAway(param.data);
    takeAway(param.grad);
    param.data = param.grad = null;
    for (let k = 0; k < 3; ++k) global.gc();
    await promise;
  }
  port1.close();
  console.log(`${rejected} rejected`);
}

main();
