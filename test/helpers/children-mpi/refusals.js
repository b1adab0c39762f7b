'use strict';

// Calls that are wrong by themselves, calls that do not fit those of the other ranks, and that all goes on after either.
const { main, messageOf, refused, same } = require('./harness');

const floats = (n) => new Float32Array(n);

async function byThemselves(comm) {
  const n = comm.size;
  const bits = new Uint16Array(4);
  const kinds = 'a Float32Array, Float64Array, Float16Array, Uint16Array, Uint8Array or CudaTensor';
  const detached = floats(4);
  globalThis.structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const resizable = new Float32Array(new ArrayBuffer(16, { maxByteLength: 32 }));
  const wrong = [
    [() => comm.allReduce([1]), `TypeError: Expected data of allReduce() to be ${kinds} but received [1].`],
    [
      () => comm.allReduce(),
      `TypeError: Expected data of allReduce() to be ${kinds} but received undefined.`,
    ],
    [
      () => comm.allReduce(bits),
      'TypeError: Expected dtype for data of allReduce(), a Uint16Array, to be "bfloat16" or "float16" but received undefined.',
    ],
    [
      () => comm.broadcast(bits, 0, { dtype: 'float32' }),
      'TypeError: Expected dtype for data of broadcast(), a Uint16Array, to be "bfloat16" or "float16" but received "float32".',
    ],
    [
      () => comm.allReduce(floats(1), { dtype: 'float16' }),
      'TypeError: Expected dtype for data of allReduce(), a Float32Array, to be "float32" or left out but received "float16".',
    ],
    [
      () => comm.allReduce(new Uint8Array(1)),
      'TypeError: Expected data of allReduce() to hold floats, which can be reduced, but received a Uint8Array of bytes.',
    ],
    [
      () => comm.allReduce(floats(1), { op: 'product' }),
      'TypeError: Expected op of allReduce() to be "sum", "mean" or "max" but received "product".',
    ],
    [
      () => comm.allReduce(floats(1), { opp: 'sum' }),
      'TypeError: Unknown option "opp" for allReduce(): did you mean "op"?',
    ],
    [
      () => comm.allReduce(detached),
      'TypeError: Expected data of allReduce() to have memory but its buffer is detached.',
    ],
    [
      () => comm.allReduce(resizable),
      'TypeError: Expected data of allReduce() to be over a buffer of fixed size but received a resizable one.',
    ],
    [
      () => comm.broadcast(floats(1), n),
      `RangeError: Expected root of broadcast() to be a rank in [0, ${n}) but received ${n}.`,
    ],
    [
      () => comm.broadcast(floats(1), '0'),
      'TypeError: Expected root of broadcast() to be a number but received "0".',
    ],
    [
      () => comm.allGather(floats(2), floats(2 * n + 1)),
      `RangeError: Expected receive of allGather() to have ${2 * n} elements, ${n} times those of send of allGather(), ` +
        `but received ${2 * n + 1}; ranks with different shares name them in the option counts.`,
    ],
    [
      () => comm.allGather(floats(1), new Float64Array(n)),
      'TypeError: Expected receive of allGather() and send of allGather() to have one dtype but received float64 and float32.',
    ],
    [
      () => comm.reduceScatter(floats(n), floats(1), { counts: Array(n + 1).fill(1) }),
      `RangeError: Expected counts of reduceScatter() to be ${n} numbers, one for each rank, but received ${n + 1}.`,
    ],
    [
      () => comm.reduceScatter(floats(n), floats(1), { counts: Array(n).fill(1.5) }),
      'TypeError: Expected counts[0] of reduceScatter() to be a whole number of at least 0 but received 1.5 of type number.',
    ],
    [
      () => comm.reduceScatter(floats(n), floats(1), { counts: Array(n).fill(2) }),
      `RangeError: Expected send of reduceScatter() to have ${2 * n} elements, the sum of counts, but received ${n}.`,
    ],
    [
      () => comm.reduceScatter(floats(2 * n), floats(1), { counts: Array(n).fill(2) }),
      `RangeError: Expected receive of reduceScatter() to have 2 elements, counts[${comm.rank}], but received 1.`,
    ],
  ];
  for (const [act, expected] of wrong) {
    // Nothing is queued: it throws, and ranks that did not make the call wait for nothing.
    let thrown;
    try {
      void act();
    } catch (error) {
      thrown = `${error.name}: ${error.message}`;
    }
    same(comm, expected, thrown, expected);
  }
  const { mpi } = require('fused-optim');
  same(comm, 'a second mpi()', mpi() === comm && mpi({ timeout: 60 }) === comm, true);
  await refused(
    comm,
    'another timeout',
    () => mpi({ timeout: 5 }),
    'RangeError: Expected timeout of mpi() to be 60, as in its first call, but received 5.',
  );
}

async function betweenRanks(comm) {
  const odd = comm.rank === 1;
  const differences = [
    [
      () => comm.allReduce(floats(odd ? 999 : 1000)),
      'allReduce with 1000 float32 elements but rank 1 gave 999.',
    ],
    [
      () => comm.allReduce(odd ? new Float64Array(3) : floats(3)),
      'allReduce with float32 elements but rank 1 gave float64.',
    ],
    [
      () => comm.allReduce(new Uint16Array(2), { dtype: odd ? 'float16' : 'bfloat16' }),
      'allReduce with bfloat16 elements but rank 1 gave float16.',
    ],
    [
      () => comm.allReduce(floats(3), { op: odd ? 'max' : 'mean' }),
      'allReduce with op mean but rank 1 gave max.',
    ],
    [() => comm.broadcast(floats(3), odd ? 1 : 0), 'broadcast with root 0 but rank 1 gave 1.'],
    [
      () => (odd ? comm.broadcast(floats(3)) : comm.allReduce(floats(3))),
      'allReduce but rank 1 called broadcast.',
    ],
    [() => (odd ? comm.barrier() : comm.broadcast(floats(3))), 'broadcast but rank 1 called barrier.'],
  ];
  if (comm.size > 1) {
    // Each rank's own share fits what it says of itself.
    const counts = Array(comm.size).fill(2);
    if (odd) counts.splice(0, 2, 1, 3);
    if (comm.size > 2)
      differences.push([
        () => comm.allGather(floats(counts[comm.rank]), floats(2 * comm.size), { counts }),
        'allGather with the same counts but rank 1 gave others.',
      ]);
  }
  for (const [act, expected] of differences) {
    if (comm.size === 1) break;
    await refused(comm, expected, act, `Error: Expected every rank to call ${expected}`);
    const data = Float32Array.of(1);
    await comm.allReduce(data);
    same(comm, 'the next call', data, [comm.size]);
  }
  if (comm.size === 4) {
    await refused(
      comm,
      'several differ',
      () => comm.allReduce(floats([1, 2, 3, 1][comm.rank])),
      'Error: Expected every rank to call allReduce with 1 float32 elements but rank 1 gave 2 and rank 2 gave 3.',
    );
    await refused(
      comm,
      'rank 0 differs',
      () => comm.allReduce(floats(comm.rank === 0 ? 8 : 9)),
      'Error: Expected every rank to call allReduce with 9 float32 elements but rank 0 gave 8.',
    );
  }
  // In another order: both reject, on all ranks, and nothing of either array is written.
  if (comm.size > 1) {
    const one = floats(2).fill(7);
    const two = floats(2).fill(8);
    const calls = [() => messageOf(() => comm.allReduce(one)), () => messageOf(() => comm.broadcast(two))];
    const said = await Promise.all((odd ? calls.reverse() : calls).map((call) => call()));
    const wants = (kind, other) => `Error: Expected every rank to call ${kind} but rank 1 called ${other}.`;
    // Of two ranks neither is in the majority: the lower one is right.
    same(comm, 'swapped', said, [wants('allReduce', 'broadcast'), wants('broadcast', 'allReduce')]);
    same(comm, 'unchanged', [...one, ...two], [7, 7, 8, 8]);
  }
}

async function closed(comm) {
  const after = comm.barrier();
  const ended = Promise.all([comm.close(), comm.close()]);
  await refused(
    comm,
    'a call after close()',
    () => comm.barrier(),
    'Error: Expected barrier() before close() but the communicator is closed.',
  );
  await after;
  await ended;
}

main(
  async (comm) => {
    await byThemselves(comm);
    await betweenRanks(comm);
    await closed(comm);
  },
  { timeout: 60 },
);
