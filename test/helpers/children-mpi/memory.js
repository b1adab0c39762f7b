'use strict';

// Arrays whose memory goes away while calls are under way: it is kept until they have ended.
const { main, messageOf, same } = require('./harness');

main(async (comm) => {
  const lost = (kind) =>
    `Error: Expected ${kind} to stay in place until the promise resolved but its buffer was detached.`;
  for (let i = 0; i < 10; ++i) {
    const data = new Float32Array(200_000).fill(1);
    const call = messageOf(() => comm.allReduce(data));
    // Its new owner drops it at once.
    globalThis.structuredClone(data.buffer, { transfer: [data.buffer] });
    globalThis.gc();
    same(comm, 'transferred', await call, lost('data of allReduce()'));
  }
  const calls = [];
  for (let i = 0; i < 20; ++i) {
    calls.push(comm.allReduce(new Float64Array(50_000).fill(i)));
    if (i % 5 === 0) globalThis.gc();
  }
  await Promise.all(calls);
  same(comm, 'forgotten', calls.length, 20);
  const shared = new Float32Array(new globalThis.SharedArrayBuffer(4 * comm.size));
  shared[comm.rank] = comm.rank + 1;
  await comm.allGather(shared.subarray(comm.rank, comm.rank + 1), shared);
  same(
    comm,
    'shared memory',
    [...shared],
    Array.from({ length: comm.size }, (_, i) => i + 1),
  );
  const memory = new globalThis.WebAssembly.Memory({ initial: 1, maximum: 4 });
  const inside = new Float32Array(memory.buffer, 64, 8).fill(1);
  await comm.allReduce(inside);
  same(comm, 'memory of WebAssembly', [...inside], Array(8).fill(comm.size));

  // A million calls would take long; what one leaves behind shows in thousands.
  const small = new Float32Array(64);
  const many = async (n) => {
    for (let i = 0; i < n; ++i) await comm.allReduce(small);
    globalThis.gc();
    return process.memoryUsage.rss();
  };
  const before = await many(1000);
  const grown = ((await many(2000)) - before) / 2 ** 20;
  same(comm, `${grown.toFixed(1)} MiB grown`, grown < 24, true);
});
