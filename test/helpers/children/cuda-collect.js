'use strict';
// Forgets CUDA tensors, streams, events and capsules; the garbage collector frees their memory.
const { cuda } = require('fused-optim');
const { standIn } = require(process.env.FUSED_OPTIM_CUDA_ADDON);

const collected = async (done) => {
  for (let i = 0; i < 50 && !done(); ++i) {
    global.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
    cuda.synchronize();
  }
};

function forget(i) {
  const tensor = cuda.from(new Float32Array(256).fill(i));
  const stream = cuda.stream();
  stream.record();
  if (i % 2) tensor.downloadAsync(undefined, { stream }).catch(() => process.exit(1));
  if (i % 3 === 0) tensor.toDLPack(); // nobody takes it
  if (i % 5 === 0) cuda.fromDLPack(tensor.toDLPack());
  cuda.fromPointer(tensor.pointer, { shape: [3], owner: tensor });
}

function owned({ pointer }, registry) {
  const owner = { any: 'thing' };
  registry.register(owner, 0);
  return cuda.fromPointer(pointer, { shape: [2], owner });
}

async function main() {
  const kept = cuda.from(new Float32Array(64));
  const before = standIn.counters();
  for (let i = 0; i < 50; ++i) forget(i);
  const facts = () => standIn.counters();
  await collected(() => facts().bytesInUse === before.bytesInUse && facts().streams === before.streams);
  const after = facts();
  console.log(after.bytesInUse - before.bytesInUse, after.streams - before.streams, kept.freed);

  // An owner lives as long as the tensor, and no longer.
  let gone = false;
  const registry = new FinalizationRegistry(() => (gone = true));
  const held = { tensor: owned(kept, registry) };
  await new Promise((resolve) => setTimeout(resolve, 5));
  global.gc();
  await new Promise((resolve) => setTimeout(resolve, 5));
  console.log('owner', gone ? 'gone' : 'there', held.tensor.freed);
  delete held.tensor;
  await collected(() => gone);
  console.log('owner', gone ? 'gone' : 'there');
}

main();
