import fs from 'node:fs';
import path from 'node:path';
import { writeSafetensors } from '../../lib/checkpoint/safetensors';
import { presets, shapesOf } from '../../lib/cli/plan/shapes';
import { sizeOf } from '../../lib/parameter';
import { workloads } from '../helpers/workloads';
import { blocksIn } from '../house/code-blocks/blocks';
import { packageTree } from '../house/package-tree';
import { root, scratchDirectory } from '../house/scratch';
import { cli } from './run';

const directory = packageTree();
const scratch = scratchDirectory();

// A child process a command, on machines that may be busy.
jest.setTimeout(60_000);

const plan = (...args: string[]) => cli(directory, ['plan', ...args], {}, scratch);

interface Rank {
  elements: number;
  stateBytes: number;
  masterBytes: number;
  flops: number;
  sent: { gradients: number; parameters: number; check: number };
}
interface Planned {
  tensors: number;
  elements: number;
  ranks: Rank[];
  replicated: Rank;
  balance: { kind: string; ratio: number; because?: string }[];
  times: {
    name: string;
    gbPerSecond: number;
    sharded: { gradients: number; parameters: number; together: number };
    replicated: { together: number };
  }[];
  newtonSchulz: { sharded: number; replicated: number };
  files: string[];
}

function json(...args: string[]): Planned {
  const { status, stdout, stderr } = plan(...args, '--json');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as Planned;
}

describe('presets', () => {
  test.each([
    ['gpt2-124m', 'gpt2_124m'],
    ['resnet-50', 'resnet50'],
    ['llama-1b', 'llama_1b'],
  ])('%s has the names and shapes of the real list', async (preset, list) => {
    const tensors = await shapesOf(preset);
    expect(tensors.map(({ name, shape }) => ({ name, shape }))).toEqual(workloads.get(list));
  });

  // By their authors' counts: OpenAI's checkpoints and Meta's model card.
  test.each([
    ['gpt2-124m', 124_439_808],
    ['gpt2-350m', 354_823_168],
    ['gpt2-1.5b', 1_557_611_200],
    ['resnet-50', 25_557_032],
    ['llama-1b', 1_235_814_400],
    ['llama-8b', 8_030_261_248],
  ])('%s has %i parameters', async (preset, parameters) => {
    const tensors = await shapesOf(preset);
    expect(tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(parameters);
  });

  test('all of them are known', () => {
    expect(presets).toEqual(['gpt2-124m', 'gpt2-350m', 'gpt2-1.5b', 'resnet-50', 'llama-1b', 'llama-8b']);
  });
});

test('prints what a rank keeps and sends, how even that is, and times', () => {
  const { status, stdout, stderr } = plan(
    ...['--shapes', 'gpt2-124m', '--ranks', '8', '--optimizer', 'muon', '--dtype', 'bfloat16', '--all'],
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(
    /^Muon over gpt2-124m: 124,439,808 parameters in 148 tensors, bfloat16, 8 ranks, stage 1$/m,
  );
  expect(stdout).toMatch(/^states +625\.4 MiB +78\.2 MiB +78\.2 MiB +78\.2 MiB +1\.000 ×$/m);
  expect(stdout).toMatch(/^master copies +474\.7 MiB +59\.3 MiB/m);
  expect(stdout).toMatch(/^gradients, all-reduce +415\.4 MiB +415\.4 MiB/m);
  expect(stdout).toMatch(/^parameters, all-gather +– +207\.6 MiB/m);
  expect(stdout).toMatch(/^Newton–Schulz +1\.52 TFLOP +190 GFLOP/m);
  expect(stdout).toMatch(/^ {2}1\.000 {2}matrices of Muon, by operations$/m);
  expect(stdout).toMatch(/^nvlink +450 +968 µs +1\.45 ms/m);
  expect(stdout).toMatch(/^ethernet-10g +1\.25 +348 ms/m);
  expect(stdout).toContain('Newton–Schulz at 400 TFLOP/s: 3.81 ms replicated, 476 µs sharded.');
  expect(stdout.match(/^\d +78\.2 MiB/gm)).toHaveLength(8);
  expect(stdout).not.toContain('\u001b');
});

test('docs/distributed-plan.md shows what its first command prints', () => {
  const blocks = blocksIn('', fs.readFileSync(path.join(root, 'docs', 'distributed-plan.md'), 'utf8'));
  const [command, shown] = blocks.map(({ text }) => text);
  const { stdout } = cli(directory, command!.replace('npx fused-optim ', '').split(' '));
  expect(stdout.trimEnd()).toBe(shown);
});

test('says by name what keeps ranks from being even', () => {
  const { stdout } = plan('--shapes', 'gpt2-124m', '--optimizer', 'LAMB', '--stage', '2');
  expect(stdout).toMatch(/^gradients, reduce-scatter/m);
  expect(stdout).toContain(
    '2.481  whole tensors, by elements: "wte" stays whole and alone is 2.48 times the mean',
  );
  expect(stdout).not.toMatch(/Newton|master/);
});

test('prints the same as JSON', () => {
  const planned = json('--shapes', 'llama-1b', '--ranks', '4', '--network', 'infiniband,2.5');
  const { elements, replicated, ranks, times, balance } = planned;
  expect(planned).toMatchObject({
    ...{ shapes: 'llama-1b', optimizer: 'AdamW', stage: 1, dtype: 'float32', grads: 'float32' },
    ...{ tensors: 146, elements: 1_235_814_400, parameterBytes: 4 * 1_235_814_400, files: [] },
    newtonSchulz: { sharded: 0, replicated: 0 },
  });
  expect(replicated).toMatchObject({ elements, stateBytes: 8 * elements, masterBytes: 0, flops: 0 });
  expect(ranks).toHaveLength(4);
  expect(ranks.reduce((sum, rank) => sum + rank.stateBytes, 0)).toBe(8 * elements);
  expect(balance).toEqual([{ kind: 'split', ratio: expect.any(Number) as number, least: 1 }]);
  expect(times.map(({ name, gbPerSecond }) => [name, gbPerSecond])).toEqual([
    ['infiniband', 50],
    ['2.5 GB/s', 2.5],
  ]);
  for (const { gbPerSecond, sharded, replicated: all } of times) {
    // 3/4 of the bytes pass each link, twice where they are reduced.
    expect(sharded.gradients).toBeCloseTo((1.5 * 4 * elements) / gbPerSecond / 1e9, 9);
    expect(sharded.parameters / ((0.75 * 4 * elements) / gbPerSecond / 1e9)).toBeCloseTo(1, 3);
    expect(all.together).toBe(sharded.gradients);
  }
});

test('options of the optimizer, dtypes and roundings count', () => {
  const bytes = (...args: string[]): number => {
    const { replicated } = json('--shapes', 'resnet-50', ...args);
    return (replicated.stateBytes + replicated.masterBytes) / 25_557_032;
  };
  expect(bytes('--options', '{"amsgrad":true}')).toBe(12);
  expect(bytes('--dtype', 'bfloat16')).toBe(12);
  expect(bytes('--dtype', 'bfloat16', '--rounding', 'split', '--state-dtype', 'bfloat16')).toBe(6);
  expect(bytes('--state-dtype', '8bit')).toBeLessThan(2.1);
  const grads = json('--shapes', 'resnet-50', '--dtype', 'bfloat16', '--grads', 'float32', '--ranks', '2');
  expect(grads.ranks[0]!.sent.gradients).toBe(4 * 25_557_032);
  const slow = json('--shapes', 'gpt2-124m', '--optimizer', 'muon', '--ranks', '2', '--flops', '1');
  expect(slow.newtonSchulz.replicated).toBeCloseTo(slow.replicated.flops / 1e12, 9);
});

describe('shapes of a file', () => {
  const file = (name: string, content: unknown): string => {
    fs.writeFileSync(path.join(scratch, name), JSON.stringify(content));
    return name;
  };

  test('a list of tensors, with roles', () => {
    const list = [
      { name: 'a', shape: [64, 32] },
      { name: 'b', shape: [16, 32], role: 'embedding' },
      { name: 'c', shape: [] },
    ];
    for (const content of [list, { tensors: list }]) {
      const planned = json('--shapes', file('list.json', content), '--optimizer', 'muon', '--ranks', '2');
      expect(planned).toMatchObject({ tensors: 3, elements: 64 * 32 + 16 * 32 + 1 });
      // Momentum of the matrix, and AdamW's two states of the others.
      expect(planned.replicated.stateBytes).toBe(4 * 64 * 32 + 8 * (16 * 32 + 1));
    }
  });

  test('a safetensors file', async () => {
    const data = new Float32Array(6);
    await writeSafetensors(path.join(scratch, 'model.safetensors'), { w: { shape: [2, 3], data } });
    expect(json('--shapes', 'model.safetensors')).toMatchObject({ tensors: 1, elements: 6 });
  });

  test.each([
    [
      'absent.json',
      undefined,
      'Expected "absent.json" to be a list of tensors with name and shape but there is no such file.',
    ],
    ['none.json', [], 'but it has none.'],
    ['other.json', { a: 1 }, 'but it has none.'],
    ['null.json', null, 'but it has none.'],
    ['size.json', [{ name: 'a', shape: [1.5] }], 'but entry 0 has the name "a" and the shape [1.5].'],
    ['nothing.json', [null], 'but entry 0 has the name undefined and the shape undefined.'],
    [
      'twice.json',
      [
        { name: 'a', shape: [1] },
        { name: 'a', shape: [1] },
      ],
      'received "a" twice',
    ],
    ['role.json', [{ name: 'a', shape: [1], role: 'x' }], 'Expected role of "a" to be'],
    ['absent.safetensors', undefined, 'there is no such file'],
  ])('%s is refused in one sentence', (name, content, message) => {
    if (content !== undefined) file(name, content);
    const { status, stdout, stderr } = plan('--shapes', name);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    const asJson = plan('--shapes', name, '--json');
    expect(JSON.parse(asJson.stdout)).toEqual({ error: stderr.trim() });
  });
});

test('draws a chart, the same in every run', () => {
  const draw = (name: string, ...args: string[]): Buffer => {
    const { files } = json('--shapes', 'llama-8b', '--ranks', '64', ...args, '--chart', name);
    expect(files).toEqual([name]);
    return fs.readFileSync(path.join(scratch, name));
  };
  const muon = ['--optimizer', 'muon', '--dtype', 'bfloat16'];
  const svg = draw('a.svg', ...muon).toString();
  expect(draw('b.svg', ...muon).toString()).toBe(svg);
  for (const word of ['states', 'master copies', 'rank 63', 'mean', 'nvlink, sharded', 'Newton–Schulz'])
    expect(svg).toContain(`>${word}<`);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  expect(draw('c.png').subarray(1, 4).toString()).toBe('PNG');
  expect(draw('one.svg', '--ranks', '1', '--optimizer', 'sgd').toString()).not.toMatch(/NaN|Newton/);
});

test.each([
  [[], "required option '--shapes <what>' not specified"],
  [['--shapes', 'gpt2-125m'], 'Did you mean gpt2-124m?'],
  [['--shapes', 'bert'], 'Expected gpt2-124m, gpt2-350m,'],
  [['--ranks', '0'], "option '--ranks <n>' argument '0' is invalid. Expected a whole number from 1 to"],
  [['--optimizer', 'adamv'], 'Did you mean'],
  [['--stage', '3'], 'Allowed choices are 1, 2.'],
  [['--dtype', 'int8'], 'Allowed choices are float32,'],
  [['--rounding', 'up'], 'Allowed choices are master,'],
  [
    ['--network', 'carrier-pigeon'],
    'Expected nvlink, infiniband, ethernet, ethernet-10g, or a number of GB/s.',
  ],
  [['--network', '0'], 'or a number of GB/s.'],
  [['--flops', '-1'], 'Expected a number > 0'],
  [['--options', '[1]'], 'Expected an object in JSON.'],
  [['--options', '{'], 'Expected an object in JSON.'],
  [['--chart', 'x.gif'], 'Expected a file name that ends with .svg or .png.'],
  [['--rank', '1'], '(Did you mean --ranks?)'],
])('%j is bad usage', (args, message) => {
  const shapes = args.length === 0 || args[0] === '--shapes' ? [] : ['--shapes', 'llama-1b'];
  const { status, stdout, stderr } = plan(...shapes, ...args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain(message);
});

test('what the optimizer refuses is an error in its own words', () => {
  const refused = (message: string, ...args: string[]): void => {
    const { status, stderr } = plan('--shapes', 'llama-1b', ...args);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  };
  refused('Unknown option "amsgrd" for AdamW: did you mean "amsgrad"?', '--options', '{"amsgrd":true}');
  refused('to be float32, bfloat16 or float16 in Muon', '--optimizer', 'muon', '--dtype', 'float64');
  refused('Expected stateDtype of LAMB', '--optimizer', 'lamb', '--state-dtype', '8bit');
  refused('Expected rounding of AdamW', '--dtype', 'float16', '--rounding', 'kahan');
  refused('Expected split of Muon', '--optimizer', 'muon', '--options', '{"split":3}');
});
