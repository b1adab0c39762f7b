import fs from 'node:fs';
import path from 'node:path';
import { readSafetensors, writeSafetensors, type SafeTensor } from 'fused-optim';
import { rejection, runPython, safetensorsFile, testWithPython } from '../helpers/files';
import { specialValues } from '../helpers/random';
import { scratchDirectory } from '../house/scratch';

const directory = scratchDirectory();
const file = path.join(directory, 'tensors.safetensors');

const pi = Float32Array.of(3.1415927410125732, -0, 2);
const byHand = safetensorsFile(
  // 104 bytes with the spaces, so that the data begins at byte 112
  '{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'.padEnd(80),
  Uint8Array.of(0xdb, 0x0f, 0x49, 0x40, 0, 0, 0, 0x80, 0, 0, 0, 0x40),
);

describe('safetensors files', () => {
  test('have the bytes of the published format', async () => {
    await writeSafetensors(file, { w: { shape: [3], data: pi } }, { a: 'b' });
    expect(fs.readFileSync(file)).toEqual(byHand);
  });

  test('are read from the bytes of the published format', async () => {
    fs.writeFileSync(file, byHand);
    const { tensors, metadata } = await readSafetensors(file);
    expect(metadata).toEqual({ a: 'b' });
    expect([...tensors]).toEqual([['w', { dtype: 'F32', shape: [3], data: pi }]]);
    expect(Object.is((tensors.get('w')!.data as Float32Array)[1], -0)).toBe(true);
  });

  test('may lack metadata, and tensors too', async () => {
    fs.writeFileSync(file, safetensorsFile({}));
    expect(await readSafetensors(file)).toEqual({ tensors: new Map(), metadata: {} });
    await writeSafetensors(file, {});
    expect((await readSafetensors(file)).tensors.size).toBe(0);
  });

  test('begin data at a multiple of 8 bytes, and each tensor at one of its elements', async () => {
    for (let length = 1; length <= 9; ++length) {
      const name = 'n'.repeat(length);
      await writeSafetensors(file, {
        [`${name}1`]: { shape: [3], data: Uint8Array.of(1, 2, 3) },
        [`${name}2`]: { shape: [1], data: Float64Array.of(1) },
        [`${name}3`]: { shape: [1], data: Float32Array.of(1) },
      });
      const bytes = fs.readFileSync(file);
      const header = Number(bytes.readBigUInt64LE());
      expect(header % 8).toBe(0);
      const parsed = JSON.parse(bytes.subarray(8, 8 + header).toString()) as Record<
        string,
        { data_offsets: number[] }
      >;
      expect([1, 2, 3].map((i) => parsed[`${name}${i}`]!.data_offsets)).toEqual([
        [12, 15],
        [0, 8],
        [8, 12],
      ]);
    }
  });

  const everyType: Readonly<Record<string, SafeTensor>> = {
    BOOL: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) },
    U8: { shape: [1, 2], data: Uint8Array.of(0, 255) },
    I8: { shape: [2], data: Int8Array.of(-128, 127) },
    F8_E4M3: { dtype: 'F8_E4M3', shape: [2], data: Uint8Array.of(0x38, 0xb8) },
    F8_E5M2: { dtype: 'F8_E5M2', shape: [2], data: Uint8Array.of(0x3c, 0xbc) },
    U16: { shape: [2], data: Uint16Array.of(0, 65535) },
    I16: { shape: [2], data: Int16Array.of(-32768, 32767) },
    F16: { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xbc00) },
    BF16: { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xbf80) },
    U32: { shape: [2], data: Uint32Array.of(0, 4294967295) },
    I32: { shape: [2], data: Int32Array.of(-2147483648, 2147483647) },
    F32: { shape: [2, 2], data: Float32Array.of(1, -0, Infinity, 1e-45) },
    U64: { shape: [1], data: BigUint64Array.of(2n ** 64n - 1n) },
    I64: { shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
    F64: { shape: [], data: Float64Array.of(Math.PI) },
    empty: { shape: [0, 5], data: new Float32Array(0) },
  };

  test('keep every dtype', async () => {
    await writeSafetensors(file, everyType);
    const { tensors } = await readSafetensors(file);
    expect(tensors.size).toBe(Object.keys(everyType).length);
    for (const [name, { shape, data }] of Object.entries(everyType))
      expect(tensors.get(name)).toEqual({ dtype: name === 'empty' ? 'F32' : name, shape, data });
  });

  test('keep every bit, of views into larger buffers too, through more than one chunk', async () => {
    const whole = specialValues(3_000_000, 7);
    new Uint32Array(whole.buffer, 4000, 1)[0] = 0x7fc12345; // a NaN with a payload
    const view = whole.subarray(1000, 2_999_999);
    await writeSafetensors(file, new Map([['w', { shape: [view.length], data: view }]]));
    const { data } = (await readSafetensors(file)).tensors.get('w')!;
    expect(Buffer.from(data.buffer).equals(Buffer.from(view.buffer, view.byteOffset, view.byteLength))).toBe(
      true,
    );
  });

  test('take any names', async () => {
    const names = ['__proto__', 'constructor', '1', '', '"\\\n', 'gewicht ×', '重み', '\u{1f600}', ' '];
    const tensors = new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i) }]));
    await writeSafetensors(file, tensors, { ['__proto__']: 'kept', '"': '\\' });
    const read = await readSafetensors(file);
    for (const [i, name] of names.entries()) expect(read.tensors.get(name)!.data).toEqual(Float32Array.of(i));
    expect(Object.entries(read.metadata)).toEqual([
      ['__proto__', 'kept'],
      ['"', '\\'],
    ]);
  });

  testWithPython('safetensors, numpy')('are what the reference implementation reads and writes', async () => {
    await writeSafetensors(file, everyType, { who: 'fused-optim' });
    const theirs = path.join(directory, 'theirs.safetensors');
    const program = `
import sys
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], 'np') as f:
    print(f.metadata(), len(f.keys()), f.get_tensor('F64'), f.get_tensor('F32').tolist(), f.get_tensor('U64'))
    kept = {k: f.get_tensor(k) for k in ('F32', 'I64', 'U8')}
save_file(kept, sys.argv[2], {'who': 'safetensors'})`;
    expect(runPython(['-c', program, file, theirs])).toBe(
      "{'who': 'fused-optim'} 16 3.141592653589793 [[1.0, -0.0], [inf, 1.401298464324817e-45]] [18446744073709551615]\n",
    );
    const { tensors, metadata } = await readSafetensors(theirs);
    expect(metadata).toEqual({ who: 'safetensors' });
    for (const name of ['F32', 'I64', 'U8']) expect(tensors.get(name)!.data).toEqual(everyType[name]!.data);
  });
});

describe('writeSafetensors() refuses', () => {
  const data = new Float32Array(4);
  test.each<[string, Record<string, unknown>, unknown, string]>([
    [
      'a list',
      { w: { shape: [1], data: [1] } },
      {},
      'Expected data of "w" to be a typed array but received [1].',
    ],
    [
      'a DataView',
      { w: { shape: [4], data: new DataView(data.buffer) } },
      {},
      'Expected data of "w" to be a typed array but received a DataView.',
    ],
    [
      'another dtype than that of the array',
      { w: { dtype: 'BF16', shape: [4], data } },
      {},
      'Expected data of "w" to be an array of BF16 elements but received a Float32Array.',
    ],
    [
      'a dtype that is none',
      { w: { dtype: 'F31', shape: [4], data } },
      {},
      'Expected dtype of "w" to be one of BOOL, U8, I8, F8_E4M3, F8_E5M2, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64 but received "F31".',
    ],
    [
      'another shape',
      { w: { shape: [2, 3], data } },
      {},
      'Expected shape of "w" to be one of 4 elements but received [2, 3].',
    ],
    [
      'half a size',
      { w: { shape: [0.5, 8], data } },
      {},
      'Expected shape of "w" to be an array of integers >= 0 but received [0.5, 8].',
    ],
    [
      'the name of the metadata',
      { __metadata__: { shape: [4], data } },
      {},
      'Expected another name for a tensor than "__metadata__", which the format keeps.',
    ],
    [
      'metadata that is no string',
      {},
      { step: 1 },
      'Expected "step" of the metadata to be a string but received 1 of type number.',
    ],
    [
      'more metadata than readers take',
      {},
      { x: 'x'.repeat(100_000_000) },
      'Expected names and metadata to take at most 100000000 bytes of a safetensors file but they take 100000032.',
    ],
  ])('%s', async (_, tensors, metadata, message) => {
    const absent = path.join(directory, 'absent');
    const write = writeSafetensors(
      absent,
      tensors as Record<string, SafeTensor>,
      metadata as Record<string, string>,
    );
    expect(await rejection(write)).toBe(message);
    expect(fs.existsSync(absent)).toBe(false);
  });
});
