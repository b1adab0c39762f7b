import v8 from 'node:v8';
import vm from 'node:vm';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

/** Collects garbage and runs finalizers, until `done` or for a few rounds. */
export async function collectGarbage(done?: () => boolean): Promise<void> {
  for (let round = 0; round < (done ? 50 : 4) && !done?.(); ++round) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
