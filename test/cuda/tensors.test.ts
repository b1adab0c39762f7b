import util from 'node:util';
import { cuda, CudaTensor, type CudaArray, type CudaDType } from 'fused-optim';
import { describeCuda, expectSameBits } from '../helpers/cuda';
import { resizable, wasmMemory } from '../helpers/memory';
import { values } from '../helpers/random';

const arrays: Readonly<Record<CudaDType, (length: number) => CudaArray>> = {
  float32: (length) => values(length, 1),
  float64: (length) => Float64Array.from({ length }, (_, i) => Math.sin(i) * 1e300),
  bfloat16: (length) => Uint16Array.from({ length }, (_, i) => i * 2654435761),
  float16: (length) => Uint16Array.from({ length }, (_, i) => i * 40503),
  uint8: (length) => Uint8Array.from({ length }, (_, i) => i * 7),
};
const dtypes = Object.keys(arrays) as CudaDType[];

describeCuda('a CUDA tensor', () => {
  test.each(dtypes)('of %s has the facts of its shape, and zeros', (dtype) => {
    using tensor = cuda.tensor([3, 5], dtype, { name: 'w' });
    const zeros = arrays[dtype](15).fill(0);
    const bytes = 15 * zeros.BYTES_PER_ELEMENT;
    expect(tensor).toMatchObject({
      shape: [3, 5],
      dtype,
      device: 0,
      name: 'w',
      length: 15,
      bytes,
      freed: false,
    });
    expect(typeof tensor.pointer).toBe('bigint');
    const down = tensor.download();
    expect(down).toEqual(zeros);
    expect(down.constructor).toBe(zeros.constructor);
  });

  test.each(dtypes)('of %s gives back what it was given, bit by bit', (dtype) => {
    // The last is more than two pieces of pinned memory.
    const long = (9 * 2 ** 20) / arrays[dtype](1).BYTES_PER_ELEMENT + 1;
    for (const length of [1, 3, 1000, long]) {
      const array = arrays[dtype](length);
      using tensor = cuda.from(array, { dtype });
      const down = tensor.download();
      expectSameBits(down, array);
      const other = arrays[dtype](length).reverse();
      expect(tensor.upload(other)).toBe(tensor);
      expect(tensor.download(down)).toBe(down);
      expectSameBits(down, other);
    }
  });

  test('is made of views of any memory, and copied into them', () => {
    const numbers = values(7, 3);
    const wasm = wasmMemory({ initial: 1, maximum: 1 });
    const views = [
      new Float32Array(new SharedArrayBuffer(64), 4, 7),
      new Float32Array(wasm.buffer, 8, 7),
      new Float32Array(resizable(64, 128), 4, 7),
      new Float32Array(64).subarray(5, 12),
    ];
    for (const view of views) {
      view.set(numbers);
      using tensor = cuda.from(view);
      tensor.download(view.fill(0));
      expect([...view]).toEqual([...numbers]);
    }
    const pooled = Buffer.from('a part of the pool that Node keeps for small buffers');
    expect(pooled.byteOffset + pooled.buffer.byteLength).toBeGreaterThan(pooled.length);
    using tensor = cuda.from(pooled);
    expect(tensor.dtype).toBe('uint8');
    expect(tensor.download(Buffer.alloc(pooled.length))).toEqual(pooled);
  });

  test('takes a Float16Array where there is one', () => {
    const { Float16Array } = globalThis as { Float16Array?: new (values: number[]) => Uint16Array };
    if (!Float16Array) return void process.stderr.write('Not tested: Float16Array (this Node has none).\n');
    const array = new Float16Array([1, -2.5]);
    using tensor = cuda.from(array as never);
    expect(tensor.dtype).toBe('float16');
    expect(tensor.download()).toEqual(new Uint16Array([0x3c00, 0xc100]));
    expect(tensor.download(new Float16Array([0, 0]))).toEqual(array);
  });

  test('may be empty, or a scalar', () => {
    using empty = cuda.tensor([0, 3]);
    expect(empty).toMatchObject({ length: 0, bytes: 0 });
    expect(empty.download()).toEqual(new Float32Array(0));
    empty.upload(new Float32Array(0));
    using scalar = cuda.from(new Float32Array([5]), { shape: [] });
    expect(scalar).toMatchObject({ shape: [], length: 1 });
    expect(scalar.download()).toEqual(new Float32Array([5]));
  });

  test('lives on the device that is asked for', () => {
    for (const { index } of cuda.devices()) {
      using tensor = cuda.from(new Float32Array([index, 1]), { device: index });
      expect(tensor.device).toBe(index);
      expect(tensor.download()).toEqual(new Float32Array([index, 1]));
    }
  });

  test('is freed once, and says so afterwards', () => {
    const tensor = cuda.tensor([2], 'float32', { name: 'w' });
    tensor.free();
    tensor.free();
    expect(tensor).toMatchObject({ freed: true, shape: [2], length: 2, bytes: 8 });
    const message = (what: string) => `Expected tensor "w" to have memory for ${what} but it was freed.`;
    expect(() => tensor.pointer).toThrow(message('pointer'));
    expect(() => tensor.download()).toThrow(message('download()'));
    expect(() => tensor.upload(new Float32Array(2))).toThrow(message('upload()'));
    expect(() => tensor.toDLPack()).toThrow(message('toDLPack()'));
    const unnamed = cuda.tensor([2, 3]);
    unnamed.free();
    expect(() => unnamed.download()).toThrow('Expected the tensor of float32 [2, 3] to have memory');
  });

  test('cannot be sent to another thread', () => {
    using tensor = cuda.tensor([2]);
    expect(() => void structuredClone(tensor)).toThrow('could not be cloned');
    expect(tensor.download()).toEqual(new Float32Array(2));
  });

  test('is shown without its inside', () => {
    const tensor = cuda.tensor([2, 3], 'bfloat16', { name: 'w' });
    expect(util.inspect(tensor)).toBe(
      "CudaTensor { name: 'w', shape: [ 2, 3 ], dtype: 'bfloat16', device: 0 }",
    );
    tensor.free();
    expect(util.inspect(tensor)).toContain('freed: true');
  });
});

describeCuda('what cannot become a CUDA tensor', () => {
  const refused: [string, () => unknown, string][] = [
    ['a number as shape', () => cuda.tensor(3 as never), 'Expected shape of cuda.tensor() to be an array of sizes but received 3 of type number.'],
    ['a negative size', () => cuda.tensor([2, -1]), 'Expected shape of cuda.tensor() to be an array of integers >= 0 but received [2, -1].'],
    ['half a size', () => cuda.tensor([0.5]), 'to be an array of integers >= 0 but received [0.5].'],
    ['words as sizes', () => cuda.tensor(['a'] as never), 'to be an array of sizes but received [a].'],
    ['more elements than can be counted', () => cuda.tensor([2 ** 40, 2 ** 40]), 'Expected shape of cuda.tensor() to be of a number of elements that can be counted'],
    ['an unknown dtype', () => cuda.tensor([2], 'int8' as never), 'Expected dtype of cuda.tensor() to be one of float32, float64, bfloat16, float16, uint8 but received "int8".'],
    ['an unknown option', () => cuda.tensor([2], 'float32', { gpu: 0 } as never), 'Unknown option "gpu" for cuda.tensor()'],
    ['no object of options', () => cuda.tensor([2], 'float32', 0 as never), 'Expected options of cuda.tensor() to be an object but received 0'],
    ['a number as name', () => cuda.tensor([2], 'float32', { name: 1 as never }), 'Expected name of cuda.tensor() to be a string'],
    ['a device that is a word', () => cuda.tensor([2], 'float32', { device: 'cuda:0' as never }), 'Expected device of cuda.tensor() to be'],
    ['a device that is not there', () => cuda.tensor([2], 'float32', { device: 99 }), 'but received 99.'],
    ['a plain array', () => cuda.from([1, 2] as never), 'Expected the array of cuda.from() to be a Float32Array, Float64Array, Float16Array, Uint16Array or Uint8Array but received [1, 2].'],
    ['an Int32Array', () => cuda.from(new Int32Array(2) as never), 'but received a Int32Array.'],
    ['16 bits of an unknown kind', () => cuda.from(new Uint16Array(2) as never), 'Expected dtype of cuda.from() to say what the Uint16Array holds, bfloat16 or float16, but it is missing.'],
    ['an array of another dtype', () => cuda.from(new Float32Array(2), { dtype: 'float64' as never }), 'Expected dtype of cuda.from() to be float32 for a Float32Array but received "float64".'],
    ['an array of another length', () => cuda.from(new Float32Array(5), { shape: [2, 3] }), 'Expected the array of cuda.from() with shape [2, 3] to have 6 elements but received 5.'],
    ['something made by new', () => new (CudaTensor as unknown as new (a: object, b: object) => unknown)({}, { shape: [1] }), 'Expected a CudaTensor to be made by cuda.tensor() or cuda.from(), not by new.'],
  ]; // prettier-ignore

  test.each(refused)('%s', (_, make, message) => {
    expect(make).toThrow(message);
  });
});

describeCuda('an array that does not fit a CUDA tensor', () => {
  test('is refused in both directions, and nothing is written', () => {
    using tensor = cuda.from(new Float32Array([1, 2]), { name: 'w' });
    const wrong: [unknown, string][] = [
      [
        new Float64Array(2),
        'Expected the array for tensor "w" to be a Float32Array but received a Float64Array.',
      ],
      [new DataView(new ArrayBuffer(8)), 'to be a Float32Array but received a DataView.'],
      [[1, 2], 'to be a Float32Array but received [1, 2].'],
      [null, 'to be a Float32Array but received null.'],
      [new Float32Array(3), 'Expected the array for tensor "w" to have 2 elements but received 3.'],
      [new Float32Array(0), 'but received 0 (was its ArrayBuffer detached or resized?).'],
    ];
    for (const [array, message] of wrong) {
      expect(() => tensor.upload(array as never)).toThrow(message);
      if (array !== null) expect(() => tensor.download(array as never)).toThrow(message);
    }
    expect(tensor.download()).toEqual(new Float32Array([1, 2]));
    using half = cuda.tensor([2], 'float16');
    expect(() => half.upload(new Float32Array(2))).toThrow('to be a Uint16Array or Float16Array but');
  });
});
