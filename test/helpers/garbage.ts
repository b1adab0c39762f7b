import v8 from 'node:v8';
import vm from 'node:vm';
import { cuda } from 'fused-optim';
import { standIn } from './cuda';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

/** Collects garbage and runs finalizers, until `done` or for a few rounds. */
export async function collectGarbage(done?: () => boolean): Promise<void> {
  for (let round = 0; round < (done ? 50 : 4) && !done?.(); ++round) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Gives back the memory of the stand-in that earlier tests have left to the garbage collector: until it stays as it is. */
export async function collectTensors(): Promise<void> {
  let known = -1;
  let rounds = 0;
  await collectGarbage(() => {
    cuda.tensor([0]).free(); // a call, which looks for what can be freed
    const now = standIn.counters().bytesInUse;
    rounds = now === known ? rounds + 1 : 0;
    known = now;
    return rounds === 4;
  });
}
