/** Host memory of other libraries, and ours for them. test/cuda/dlpack.test.ts has that of GPUs. */
import { AdamW, fromDLPack, toDLPack } from 'fused-optim';
import { describeNativeApi, loadAddon } from './helpers/native-api';
import { collectGarbage } from './helpers/garbage';
import { resizable, transfer, wasmMemory } from './helpers/memory';

interface Library {
  capsule(facts: Readonly<Record<string, unknown>>): object;
  givenBack(): number;
  take(capsule: object): {
    shape: number[];
    deviceType: number;
    code: number;
    bits: number;
    release(): void;
  };
}

describe('fromDLPack() and toDLPack()', () => {
  test('share memory', () => {
    const array = Float32Array.of(1, 2, 3, 4, 5, 6);
    const other = fromDLPack(toDLPack(array, [2, 3]));
    expect(other).toBeInstanceOf(Float32Array);
    expect([...(other as Float32Array)]).toEqual([...array]);
    expect({ shape: other.shape, dtype: other.dtype }).toEqual({ shape: [2, 3], dtype: 'float32' });
    other[0] = 7;
    expect(array[0]).toBe(7);
  });

  test.each([
    [new Float64Array(2), {}, 'float64'],
    [new Uint16Array(2), { dtype: 'bfloat16' }, 'bfloat16'],
    [new Uint16Array(2), { dtype: 'float16', shape: [2, 1] }, 'float16'],
    [new Uint8Array(2), {}, 'uint8'],
  ] as const)('carry %p', (array, options, dtype) => {
    const other = fromDLPack(toDLPack(array, options));
    expect(other.dtype).toBe(dtype);
    expect(other.constructor).toBe(array.constructor);
    expect(other.shape).toEqual('shape' in options ? options.shape : [2]);
  });

  test('take views, shared memory, WebAssembly memory, scalars and nothing', () => {
    const view = new Float32Array(8).subarray(2, 4);
    fromDLPack(toDLPack(view))[1] = 3;
    expect(view[1]).toBe(3);
    const shared = new Float32Array(new SharedArrayBuffer(8));
    fromDLPack(toDLPack(shared))[0] = 4;
    expect(shared[0]).toBe(4);
    const heap = new Float32Array(wasmMemory({ initial: 1, maximum: 1 }).buffer, 64, 2);
    fromDLPack(toDLPack(heap))[0] = 5;
    expect(heap[0]).toBe(5);
    expect(fromDLPack(toDLPack(new Float32Array(1), []))).toMatchObject({ shape: [], length: 1 });
    expect(fromDLPack(toDLPack(new Float32Array(0), [0, 3]))).toMatchObject({ shape: [0, 3], length: 0 });
  });

  test('are what an optimizer updates', () => {
    const array = Float32Array.of(1, 2);
    const data = fromDLPack(toDLPack(array)) as Float32Array;
    new AdamW([{ data, grad: Float32Array.of(1, 1) }], { lr: 0.1, weightDecay: 0 }).step();
    expect(array[0]).toBeCloseTo(0.9);
  });

  test('keep memory that JavaScript has given away', () => {
    const array = Float32Array.of(1, 2);
    const capsule = toDLPack(array);
    transfer(array);
    expect([...(fromDLPack(capsule) as Float32Array)]).toEqual([1, 2]);
  });

  test('take a capsule once', () => {
    const capsule = toDLPack(new Float32Array(2));
    fromDLPack(capsule);
    expect(() => fromDLPack(capsule)).toThrow(
      'Expected the capsule of fromDLPack() to hold memory but it has been taken: a capsule can be used once.',
    );
  });

  test.each([
    ['array', [1, 2], {}, 'Expected the array of toDLPack() to be a Float32Array, Float64Array,'],
    ['array', new Int8Array(2), {}, 'but received a Int8Array.'],
    ['dtype', new Uint16Array(2), {}, 'Expected dtype of toDLPack() to say what the Uint16Array holds,'],
    ['shape', new Float32Array(2), [3], 'Expected the array of toDLPack() with shape [3] to have 3 elements'],
    [
      'shape',
      new Float32Array(2),
      { shape: [2, -1] },
      'to be an array of integers >= 0 but received [2, -1]',
    ],
    ['option', new Float32Array(2), { strides: [1] }, 'Unknown option "strides" for toDLPack()'],
    ['options', new Float32Array(2), null, 'Expected options of toDLPack() to be an object'],
  ])('toDLPack() refuses another %s', (_, array, options, message) => {
    expect(() => toDLPack(array as never, options as never)).toThrow(message);
  });

  test('refuse what is no capsule, and a resizable buffer', () => {
    const array = new Float32Array(resizable(8, 16));
    expect(() => toDLPack(array)).toThrow('to be over a buffer of fixed size but received a resizable one.');
    for (const value of [undefined, 1, {}, new Float32Array(1), { toDLPack: () => 3 }])
      expect(() => fromDLPack(value as never)).toThrow(
        'Expected the argument of fromDLPack() to be a DLPack capsule (an External of a DLManagedTensor) or an object',
      );
  });
});

describeNativeApi("another library's DLPack", () => {
  let library: Library;
  beforeAll(() => {
    library = loadAddon('capsule_driver.cpp') as Library;
  });

  test.each([false, true])('is taken, kept, and given back once (versioned: %p)', async (versioned) => {
    const before = library.givenBack();
    await (async () => {
      const array = fromDLPack(library.capsule({ versioned, shape: [2, 2], byteOffset: 4 }));
      expect([...(array as Float32Array)]).toEqual([1, 2, 3, 4]);
      await collectGarbage();
      expect(library.givenBack()).toBe(before);
      expect(array[3]).toBe(4);
    })();
    await collectGarbage(() => library.givenBack() > before);
    await collectGarbage();
    expect(library.givenBack()).toBe(before + 1);
  });

  test('is given back at once where it is empty', () => {
    const before = library.givenBack();
    fromDLPack(library.capsule({ shape: [0, 4] }));
    expect(library.givenBack()).toBe(before + 1);
  });

  test('may be an object that makes a capsule, and pinned memory', () => {
    const array = fromDLPack({ toDLPack: () => library.capsule({ shape: [3], deviceType: 3 }) });
    expect(array).toHaveLength(3);
  });

  test.each([
    [{ shape: [2, 2], strides: [2, 1] }, ''],
    [
      { shape: [2, 2], strides: [1, 2] },
      'to be compact and row-major but its strides are not (shape [2, 2]).',
    ],
    [{ shape: [-2] }, 'to be compact and row-major'],
    [
      { shape: [2], deviceType: 2 },
      'Expected the capsule of fromDLPack() to be of host memory but it is of CUDA.',
    ],
    [{ shape: [2], deviceType: 8 }, 'to be of host memory but it is of DLPack device type 8.'],
    [{ shape: [2], code: 0 }, 'but its DLPack type has code 0, 32 bits and 1 lane.'],
    [{ shape: [2], versioned: true, flags: 1 }, 'to be writable but it is read-only.'],
    [{ shape: [2], byteOffset: 2 }, 'Expected pointer of fromDLPack() to be a multiple of 4 for float32'],
    [{ shape: [2 ** 40, 2 ** 20] }, 'to be of a number of elements that can be counted'],
  ])('%j is judged: %s', (facts, message) => {
    const before = library.givenBack();
    const capsule = library.capsule(facts);
    if (!message) {
      expect(fromDLPack(capsule)).toHaveLength(4);
      return;
    }
    expect(() => fromDLPack(capsule)).toThrow(message);
    expect(library.givenBack()).toBe(before);
  });

  test('takes ours, writes to it, and gives it back on a thread of its own', async () => {
    const array = Float32Array.of(1, 2, 3);
    const capsule = toDLPack(array);
    const taken = library.take(capsule);
    expect(taken).toMatchObject({ shape: [3], deviceType: 1, code: 2, bits: 32 });
    expect([...array]).toEqual([2, 3, 4]);
    expect(() => fromDLPack(capsule)).toThrow('it has been taken');
    taken.release();
    await collectGarbage();
    expect(array[0]).toBe(2);
  });
});
