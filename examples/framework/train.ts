/** Trains the network of this framework with AdamW or Muon; `npx ts-node examples/framework/train.ts [muon]`. */
import { AdamW, Muon, type Optimizer } from 'fused-optim';
import { Network } from './network';

const POINTS: readonly (readonly [number, number])[] = [
  [-1, -1],
  [-1, 1],
  [1, -1],
  [1, 1],
];
const XOR = [-1, 1, 1, -1];

export interface Trained {
  readonly losses: readonly number[];
  readonly network: Network;
  /** Pages of the WebAssembly memory before and after. */
  readonly pages: readonly [number, number];
}

export function train(name: 'adamw' | 'muon', steps: number): Trained {
  const network = new Network(16);
  const optimizer: Optimizer =
    name === 'muon'
      ? new Muon(network.parameters, { lr: 0.05, adamw: { lr: 0.02 } })
      : new AdamW(network.parameters, { lr: 0.02, weightDecay: 0 });
  const before = network.heap.pages;
  const losses = Array.from({ length: steps }, (_, step) => {
    // A framework allocates while it runs; this makes all views of before empty.
    if (step === steps / 2) network.heap.allocate(100_000);
    const loss = network.step(POINTS, XOR);
    optimizer.step();
    return loss;
  });
  optimizer.dispose();
  return { losses, network, pages: [before, network.heap.pages] };
}

if (require.main === module) {
  const name = process.argv[2] === 'muon' ? 'muon' : 'adamw';
  const { losses, pages } = train(name, 200);
  console.log(`${name}: loss ${losses[0]!.toFixed(3)} to ${losses.at(-1)!.toFixed(6)}`);
  console.log(`The memory grew from ${pages[0]} to ${pages[1]} pages of 64 KiB meanwhile.`);
}
