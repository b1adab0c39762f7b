'use strict';

// Tensors on a GPU, which MPI exchanges by way of host memory.
const { cuda } = require('fused-optim');
const { main, refused, same } = require('./harness');

main(async (comm) => {
  const { rank, size } = comm;
  const sum = (size * (size + 1)) / 2;
  const data = cuda.from(new Float32Array(6).fill(rank + 1));
  // Begun before and after others: calls keep their order, whatever memory they are of.
  const host = new Float32Array(2).fill(rank);
  await Promise.all([comm.broadcast(host, size - 1), comm.allReduce(data), comm.barrier()]);
  same(comm, 'allReduce', [...data.download(), ...host], [...Array(6).fill(sum), size - 1, size - 1]);

  const send = cuda.from(new Uint16Array(2 * size).fill(0x3f80), { dtype: 'bfloat16' });
  const share = cuda.tensor([2], 'bfloat16');
  await comm.reduceScatter(send, share, { op: 'mean' });
  same(comm, 'reduceScatter', share.download(), [0x3f80, 0x3f80]);

  const whole = cuda.tensor([3 * size], 'uint8');
  await comm.allGather(cuda.from(new Uint8Array(3).fill(rank + 1)), whole);
  const expected = Array.from({ length: 3 * size }, (_, i) => Math.floor(i / 3) + 1);
  same(comm, 'allGather', whole.download(), expected);

  const lost = cuda.tensor([1], 'float32', { name: 'w' });
  lost.free();
  await refused(
    comm,
    'a freed tensor',
    () => comm.allReduce(lost),
    'Error: Expected data of allReduce() to have memory but tensor "w" was freed.',
  );
});
