// AdamW on CUDA tensors, in a CUDA graph, beside the same steps on the CPU: the bits agree. README.md says how to run it.
import { AdamW, backends, cuda, schedules } from 'fused-optim';

const steps = Number(process.argv[2] ?? 100);
const shape = [256, 128];
const size = 256 * 128;

/** Gradients of a step; in training, a backward pass writes them on the GPU. */
const gradient = (step: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(step * 0.1 + i));

function main(): void {
  const { name, computeCapability } = cuda.devices()[0]!;
  console.log(`${name}, compute capability ${computeCapability}, driver ${backends().cuda.driver}`);

  const start = gradient(-1);
  const onHost = { name: 'weight', shape, data: start.slice(), grad: new Float32Array(size) };
  const onDevice = {
    name: 'weight',
    shape,
    data: cuda.from(start, { shape }),
    grad: cuda.tensor(shape),
  };
  const host = new AdamW([onHost], { weightDecay: 0.1 });
  // From its second step on, one launch of a recorded graph; the learning rate moves all the same.
  const device = new AdamW([onDevice], { weightDecay: 0.1, cudaGraph: true });
  const lr = schedules.cosine({ initValue: 1e-2, decaySteps: steps });
  for (const optimizer of [host, device]) optimizer.schedule({ lr });

  for (let step = 0; step < steps; ++step) {
    const grad = gradient(step);
    onHost.grad.set(grad);
    host.step();
    // On the stream that the step uses, so nobody waits for it.
    void onDevice.grad.uploadAsync(grad);
    device.step();
  }

  const weights = onDevice.data.download(new Float32Array(size)); // waits for what was queued
  const same = Buffer.compare(Buffer.from(weights.buffer), Buffer.from(onHost.data.buffer)) === 0;
  console.log(
    `${steps} steps of ${size} elements: ${same ? 'the bits of the CPU' : 'NOT the bits of the CPU'}`,
  );
  if (!same) process.exitCode = 1;
  device.dispose();
  host.dispose();
  for (const tensor of [onDevice.data, onDevice.grad]) tensor.free();
}

if (cuda.isAvailable()) main();
else console.log(`cuda-step: skipped, ${cuda.reason}`);
