import { cuda, type CudaDType } from 'fused-optim';
import { describeCuda, describeStandIn, standIn } from '../helpers/cuda';

const numbers = new Float32Array([1, 2, 3, 4, 5, 6]);

describeCuda('DLPack', () => {
  test.each<CudaDType>(['float32', 'float64', 'bfloat16', 'float16', 'uint8'])(
    'hands a tensor of %s over and back',
    (dtype) => {
      using tensor = cuda.tensor([2, 3], dtype);
      using other = cuda.fromDLPack(tensor.toDLPack(), { name: 'other' });
      const { pointer, shape, device } = tensor;
      expect(other).toMatchObject({ pointer, shape, dtype, device, name: 'other' });
    },
  );

  test('shares memory, which lives as long as one of them', () => {
    const tensor = cuda.from(numbers);
    const other = cuda.fromDLPack(tensor.toDLPack());
    other.upload(new Float32Array(6).fill(7));
    expect(tensor.download()).toEqual(new Float32Array(6).fill(7));
    tensor.free();
    expect(other.download()).toEqual(new Float32Array(6).fill(7));
    other.free();
  });

  test('takes an object that makes a capsule', () => {
    using tensor = cuda.from(numbers);
    using same = cuda.fromDLPack(tensor);
    expect(same.pointer).toBe(tensor.pointer);
  });

  test('takes scalars and empty tensors', () => {
    using scalar = cuda.fromDLPack(cuda.tensor([]));
    expect(scalar.shape).toEqual([]);
    using empty = cuda.fromDLPack(cuda.tensor([3, 0]));
    expect(empty).toMatchObject({ shape: [3, 0], length: 0 });
  });

  test('takes a capsule once', () => {
    const tensor = cuda.from(numbers);
    const capsule = tensor.toDLPack();
    using other = cuda.fromDLPack(capsule);
    expect(() => cuda.fromDLPack(capsule)).toThrow(
      'Expected the capsule of cuda.fromDLPack() to hold memory but it has been taken: a capsule can be used once.',
    );
    tensor.free();
    expect(other.download()).toEqual(numbers);
  });

  test('makes a stream of the new user wait', () => {
    using tensor = cuda.from(numbers);
    using stream = cuda.stream();
    using other = cuda.fromDLPack(tensor.toDLPack({ stream }));
    expect(other.download(undefined, { stream })).toEqual(numbers);
  });

  test('refuses what is no capsule', () => {
    const message = 'Expected the argument of cuda.fromDLPack() to be a DLPack capsule';
    for (const value of [undefined, null, 1, 'capsule', {}, [], numbers, { toDLPack: () => 3 }]) {
      expect(() => cuda.fromDLPack(value as never)).toThrow(message);
    }
    expect(() => cuda.fromDLPack(cuda.tensor([2]), { shape: [2] } as never)).toThrow(
      'Unknown option "shape" for cuda.fromDLPack()',
    );
    using tensor = cuda.from(numbers);
    expect(() => tensor.toDLPack({ versioned: true } as never)).toThrow('Unknown option "versioned"');
  });
});

describeStandIn('a DLPack capsule of another library', () => {
  /** Its own memory, in which the tensor begins at the second number. */
  const memory = cuda.isAvailable() ? cuda.from(numbers) : undefined;
  const facts = (others: object) => ({
    deviceType: 2,
    device: 0,
    code: 2,
    bits: 32,
    lanes: 1,
    shape: [2, 2],
    byteOffset: 4,
    pointer: memory!.pointer,
    ...others,
  });

  test.each([false, true])('is given back once (versioned: %p)', (versioned) => {
    const before = standIn.givenBack();
    const capsule = standIn.capsule(facts({ versioned }));
    const tensor = cuda.fromDLPack(capsule);
    expect(tensor).toMatchObject({ shape: [2, 2], dtype: 'float32', pointer: memory!.pointer + 4n });
    expect(tensor.download()).toEqual(new Float32Array([2, 3, 4, 5]));
    expect(() => cuda.fromDLPack(capsule)).toThrow('it has been taken');
    expect(standIn.givenBack()).toBe(before);
    tensor.free();
    tensor.free();
    cuda.synchronize();
    expect(standIn.givenBack()).toBe(before + 1);
  });

  test('is given back after what was queued', async () => {
    standIn.hold(true);
    const before = standIn.givenBack();
    const tensor = cuda.fromDLPack(standIn.capsule(facts({})));
    const stream = cuda.stream();
    const down = tensor.downloadAsync(undefined, { stream });
    tensor.free();
    expect(standIn.givenBack()).toBe(before);
    expect(await down).toEqual(new Float32Array([2, 3, 4, 5]));
    cuda.synchronize();
    standIn.hold(false);
    expect(standIn.givenBack()).toBe(before + 1);
  });

  test.each([
    [{ strides: [2, 1] }, ''],
    [{ shape: [1, 2], strides: [77, 1] }, ''],
    [{ shape: [0, 2], strides: [1, 1] }, ''],
    [{ strides: [1, 2] }, 'to be compact and row-major but its strides are not (shape [2, 2]).'],
    [{ shape: [2, -2] }, 'to be compact and row-major'],
    [{ deviceType: 1 }, 'Expected the capsule of cuda.fromDLPack() to be of CUDA memory but it is of CPU.'],
    [{ deviceType: 10 }, 'to be of CUDA memory but it is of DLPack device type 10.'],
    [{ code: 0 }, 'but its DLPack type has code 0, 32 bits and 1 lane.'],
    [{ lanes: 2 }, 'but its DLPack type has code 2, 32 bits and 2 lanes.'],
    [{ versioned: true, flags: 1 }, 'to be writable but it is read-only.'],
    [{ device: 7 }, 'Expected device of cuda.fromDLPack() to be one of 0, 1 but received 7.'],
    [{ device: 1 }, 'Expected pointer of cuda.fromDLPack() to be on device 1 but'],
    [{ byteOffset: 2 }, 'to be a multiple of 4 for float32'],
    [{ shape: [100] }, 'to have 400 bytes but its allocation has 20 from'],
    [{ pointer: 0n }, 'but CUDA does not know 0x4'],
  ])('%j is judged: %s', (others, message) => {
    const before = standIn.givenBack();
    const capsule = standIn.capsule(facts(others));
    if (message) expect(() => cuda.fromDLPack(capsule)).toThrow(message);
    else cuda.fromDLPack(capsule).free();
    cuda.synchronize();
    // What was refused still belongs to whom it came from.
    expect(standIn.givenBack() - before).toBe(message ? 0 : 1);
  });

  test('is told from an External that is none', () => {
    expect(() => cuda.fromDLPack(standIn.external())).toThrow(
      'to be a DLPack capsule (an External of a DLManagedTensor) or an object with toDLPack() but received',
    );
  });
});
