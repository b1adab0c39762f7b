import fs from 'node:fs';
import path from 'node:path';
import { Adam, AdamW, cuda, Muon, type Parameter } from 'fused-optim';
import { load } from '../../lib/native';
import { withEnv } from '../helpers/isas';
import { root } from './scratch';

const text = fs.readFileSync(path.join(root, 'docs', 'troubleshooting.md'), 'utf8');
/** The one that needs a machine without CUDA. */
const withoutCuda = 'Expected CUDA to be available for …';
/** The errors of the page, in its order; an ellipsis stands for anything. */
const shown = [
  ...text.matchAll(/^\| `((?:Unknown|Expected|Could not|fused-optim|stepAsync|AdamW).*?)` +\|/gm),
]
  .map(([, message]) => message!)
  .filter((message) => message !== withoutCuda);

const w = (rest: Partial<Parameter> = {}): Parameter => ({
  name: 'w',
  data: new Float32Array(4),
  grad: new Float32Array(4),
  ...rest,
});
const plain = [1, 2, 3, 4] as unknown as Float32Array;
const detached = new Float32Array(4);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const nan = Float32Array.of(0, NaN, 0, 0);
const moved = new ArrayBuffer(32);

function disposed(): AdamW {
  const optimizer = new AdamW([w()]);
  optimizer.dispose();
  return optimizer;
}

/** What makes each of them, in the same order. */
const makers: readonly (() => unknown)[] = [
  () => load(['/nowhere.node']),
  () => withEnv({ FUSED_OPTIM_ISA: 'mmx' }, () => new AdamW([w()])),
  () => withEnv({ FUSED_OPTIM_THREADS: 'many' }, () => new AdamW([w()])),
  () => new AdamW([w()], { learningRate: 1e-3 } as object),
  () => new AdamW([w()], { betas: [0.9, 1] }),
  () => new AdamW([w({ data: plain })]),
  () => new AdamW([w({ data: new Uint16Array(4) })]),
  () => new AdamW([w({ shape: [2, 3] })]),
  () => new AdamW([w(), w()]),
  () =>
    new AdamW([
      w({ data: new Float32Array(moved, 0, 4) }),
      w({ name: 'v', data: new Float32Array(moved, 8, 4) }),
    ]),
  () => new AdamW([w({ grad: plain })]).step(),
  () => new AdamW([w({ grad: detached })]).step(),
  () => new AdamW([w({ grad: nan })], { nonFinite: 'throw' }).step(),
  async () => {
    const optimizer = new AdamW([w()]);
    const pending = optimizer.stepAsync();
    try {
      optimizer.step();
    } finally {
      await pending;
    }
  },
  () => disposed().step(),
  () => new Muon([w()]),
  () => new AdamW([w()]).loadStateDict(new Adam([w()]).stateDict()),
  () => new AdamW([w()]).loadStateDict(new AdamW([w({ name: 'v' })]).stateDict()),
  () => new AdamW([w()]).load('/nowhere.safetensors'),
  () => new AdamW([w()], { cudaGraph: true }),
];

const pattern = (message: string): RegExp =>
  new RegExp(
    `^${message
      .split('…')
      .map((part) => part.replace(/[\\^$.*+?()|[\]{}]/g, '\\$&'))
      .join('[^]*')}$`,
  );

async function messageOf(make: () => unknown): Promise<string> {
  try {
    await make();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

test('docs/troubleshooting.md shows errors as they are, each with its cause', async () => {
  const messages: string[] = [];
  for (const make of makers) messages.push(await messageOf(make));
  expect(messages).toEqual(shown.map((message) => expect.stringMatching(pattern(message)) as string));
});

(cuda.isAvailable() ? test.skip : test)('the error where CUDA is missing begins as the page says', () => {
  expect(() => cuda.tensor([2])).toThrow('Expected CUDA to be available for cuda.tensor() but ');
  expect(text).toContain(`\`${withoutCuda}\``);
});
