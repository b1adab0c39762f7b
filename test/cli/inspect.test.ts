import fs from 'node:fs';
import path from 'node:path';
import { AdamW, Muon, NAdam, type Optimizer, type Parameter } from 'fused-optim';
import { writeSafetensors } from '../../lib/checkpoint/safetensors';
import { packageTree } from '../house/package-tree';
import { scratchDirectory } from '../house/scratch';
import { cli } from './run';

const directory = packageTree();
const scratch = scratchDirectory();

// A child process a command, on machines that may be busy.
jest.setTimeout(60_000);

const parameter = (name: string, shape: readonly number[], dtype?: 'bfloat16'): Parameter => {
  const length = shape.reduce((a, b) => a * b, 1);
  const array = (): Float32Array | Uint16Array =>
    dtype ? new Uint16Array(length) : new Float32Array(length).fill(0.5);
  return { name, shape, data: array(), grad: array(), ...(dtype && { dtype }) };
};

async function saved(name: string, optimizer: Optimizer, steps: number): Promise<string> {
  const file = path.join(scratch, name);
  for (let i = 0; i < steps; ++i) optimizer.step();
  await optimizer.save(file);
  optimizer.dispose();
  return file;
}

const inspect = (...args: string[]) => cli(directory, ['inspect', ...args]);

test('prints class, groups, steps, dtypes and bytes', async () => {
  const groups = [
    { params: [parameter('h.attn', [8, 4])] },
    { params: [parameter('h.bias', [4])], weightDecay: 0, lr: 0.5 },
  ];
  const file = await saved('adamw.safetensors', new AdamW(groups, { lr: 0.25 }), 3);
  const { status, stdout, stderr } = inspect(file);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^AdamW after 3 steps, written by fused-optim \d/);
  expect(stdout).toContain('states of 288 bytes (4 tensors of F32 with 288 bytes)');
  expect(stdout).toMatch(/0: 1 parameter\n +lr 0\.25,.* weightDecay 0\.01/);
  expect(stdout).toMatch(/1: 1 parameter\n +lr 0\.5,.* weightDecay 0,/);
  expect(stdout).toMatch(/^h\.attn +\[8, 4\] +3 +expAvg +F32 +\[8, 4\] +128 bytes\n +expAvgSq +F32/m);
  expect(stdout).toMatch(/^h\.bias +\[4\] +3 +expAvg +F32 +\[4\] +16 bytes$/m);
  expect(stdout).not.toContain('\u001b');
});

test('prints the same as JSON', async () => {
  const file = await saved('nadam.safetensors', new NAdam([parameter('w', [3, 2])]), 1);
  const { status, stdout, stderr } = inspect(file, '--json');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const state = (name: string) => ({ tensor: name, dtype: 'F32', shape: [3, 2], bytes: 24 });
  expect(JSON.parse(stdout)).toMatchObject({
    file,
    algorithm: 'NAdam',
    step: 1,
    groups: [{ lr: 2e-3, params: ['w'] }],
    parameters: [
      {
        ...{ name: 'w', shape: [3, 2], step: 1, bytes: 48 },
        states: { expAvg: state('w.exp_avg'), expAvgSq: state('w.exp_avg_sq') },
        scalars: { muProduct: expect.any(Number) as number },
      },
    ],
    tensors: { 'w.exp_avg': { dtype: 'F32', shape: [3, 2], bytes: 24 } },
    totals: {
      parameters: 1,
      tensors: 2,
      bytes: 48,
      fileBytes: fs.statSync(file).size,
      dtypes: { F32: { tensors: 2 } },
    },
  });
});

test('knows formats, tensors without a state, and what else is saved', async () => {
  const idle = { ...parameter('idle', [2]), grad: null };
  const optimizer = new Muon([parameter('w', [16, 64], 'bfloat16'), idle], {
    lr: 0.1,
    adamw: { lr: 0.1 },
    stateDtype: 'bfloat16',
    rounding: 'kahan',
  });
  const { status, stdout } = inspect(await saved('muon.safetensors', optimizer, 2));
  expect(status).toBe(0);
  expect(stdout).toMatch(/^w +\[16, 64\] +2 +momentumBuffer +BF16 +\[16, 64\] +2\.0 KiB$/m);
  expect(stdout).toMatch(/^ +compensation +BF16/m);
  expect(stdout).toMatch(/^idle +\[2\] +0 +\(no state\)$/m);
  expect(stdout).toMatch(/formats .*kahan/);
});

test('names what could move the cursor of a terminal harmlessly', async () => {
  const file = await saved('evil.safetensors', new AdamW([parameter('a\u001b[2J\nb', [2])]), 1);
  expect(inspect(file).stdout).toContain('a\\u001b[2J\\nb');
});

test('reads the header only: a file of gigabytes takes as long as a small one', () => {
  const file = path.join(scratch, 'huge.safetensors');
  const bytes = 2 ** 40;
  const dict = {
    algorithm: '"SGD"',
    step: '7',
    state: '{"w":{"shape":[1],"step":7,"momentumBuffer":{"$tensor":"w"}}}',
  };
  const metadata = {
    format: 'fused-optim',
    schema: '1',
    library: 'x',
    ...dict,
    paramGroups: '[{"params":["w"]}]',
  };
  const json = JSON.stringify({
    __metadata__: metadata,
    w: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] },
  });
  const header = Buffer.alloc(8 + json.length);
  header.writeBigUInt64LE(BigInt(json.length));
  header.write(json, 8);
  fs.writeFileSync(file, header);
  fs.truncateSync(file, header.length + bytes); // a hole: it takes no room on the disk
  const { status, stdout } = inspect(file);
  expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('1.0 TiB') as string });
});

describe('refuses in one sentence that names the file', () => {
  const refused = (file: string, message: string | RegExp): void => {
    const { status, stdout, stderr } = inspect(file);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toContain(`"${file}"`);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    const asJson = inspect(file, '--json');
    expect(asJson.status).toBe(1);
    expect(JSON.parse(asJson.stdout)).toEqual({ error: stderr.trim() });
  };

  test('what is not there, or a folder', () => {
    refused(path.join(scratch, 'absent'), /there is no such file/);
    refused(scratch, /it is a folder/);
  });

  test('what is cut short, or is another kind of file', async () => {
    const whole = fs.readFileSync(await saved('whole.safetensors', new AdamW([parameter('w', [100])]), 1));
    const file = path.join(scratch, 'cut.safetensors');
    for (const length of [0, 5, 200, whole.length - 1]) {
      fs.writeFileSync(file, whole.subarray(0, length));
      refused(file, /it is cut short/);
    }
    fs.writeFileSync(file, whole.toString('latin1').replace('"w.exp_avg"', '"w.exp_avh"'), 'latin1');
    refused(file, /is not in it/);
    fs.writeFileSync(file, 'plain text, and quite a lot of it');
    refused(file, /its header would be/);
    await writeSafetensors(file, { w: { shape: [1], data: new Float32Array(1) } });
    refused(file, /its metadata is not that of one/);
  });
});
