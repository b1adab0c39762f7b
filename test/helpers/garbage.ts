import v8 from 'node:v8';
import vm from 'node:vm';
import { cuda } from 'fused-optim';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

/** Collects garbage and runs finalizers, until `done` or for a few rounds. */
export async function collectGarbage(done?: () => boolean): Promise<void> {
  for (let round = 0; round < (done ? 50 : 4) && !done?.(); ++round) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Gives back the GPU memory that earlier tests have left to the garbage collector. */
export async function collectTensors(): Promise<void> {
  await collectGarbage();
  cuda.tensor([0]).free(); // a call, which looks for what can be freed
}
