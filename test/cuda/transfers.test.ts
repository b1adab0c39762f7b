import { cuda } from 'fused-optim';
import { describeCuda, describeStandIn, expectSameBits, standIn } from '../helpers/cuda';
import { resizable, transfer } from '../helpers/memory';
import { values } from '../helpers/random';

const length = 2 * 2 ** 20 + 3; // two pieces of pinned memory and a bit
const numbers = values(length, 1);

describeCuda('an asynchronous transfer', () => {
  test('has read the array when it returns', async () => {
    using tensor = cuda.tensor([length]);
    const array = numbers.slice();
    const uploaded = tensor.uploadAsync(array);
    array.fill(0);
    await uploaded;
    expectSameBits(tensor.download(), numbers);
  });

  test('comes before what is queued later', async () => {
    using tensor = cuda.tensor([length]);
    const results = await Promise.all([
      tensor.uploadAsync(numbers),
      tensor.downloadAsync(),
      tensor.uploadAsync(new Float32Array(length)),
      tensor.downloadAsync(new Float32Array(length)),
    ]);
    expectSameBits(results[1], numbers);
    expectSameBits(results[3], new Float32Array(length));
  });

  test('writes the array it was given, whatever memory that is', async () => {
    using tensor = cuda.from(numbers.subarray(0, 8));
    const shared = new Float32Array(new SharedArrayBuffer(32));
    expect(await tensor.downloadAsync(shared)).toBe(shared);
    expect([...shared]).toEqual([...numbers.subarray(0, 8)]);
  });

  test('keeps what it uses', async () => {
    const tensor = cuda.from(numbers);
    const down = tensor.downloadAsync();
    const up = tensor.uploadAsync(numbers);
    tensor.free();
    expectSameBits(await down, numbers);
    await up;
  });

  test('may be empty', async () => {
    using tensor = cuda.tensor([0]);
    await tensor.uploadAsync(new Float32Array(0));
    expect(await tensor.downloadAsync()).toEqual(new Float32Array(0));
  });

  test('rejects what does not fit', async () => {
    using tensor = cuda.tensor([2], 'float32', { name: 'w' });
    await expect(tensor.uploadAsync(new Float32Array(3))).rejects.toThrow(
      'Expected the array for tensor "w" to have 2 elements but received 3.',
    );
    await expect(tensor.downloadAsync(new Float64Array(2) as never)).rejects.toThrow('to be a Float32Array');
    await expect(tensor.downloadAsync(new Float32Array(resizable(8, 16)))).rejects.toThrow(
      'Expected the array for tensor "w" to be over a buffer of fixed size for downloadAsync() but received a resizable one.',
    );
    await expect(tensor.uploadAsync(new Float32Array(2), { strem: 1 } as never)).rejects.toThrow(
      'Unknown option "strem" for uploadAsync(): did you mean "stream"?',
    );
  });

  test('says so when its array was taken away', async () => {
    using tensor = cuda.from(numbers);
    const into = new Float32Array(length);
    const down = tensor.downloadAsync(into);
    transfer(into);
    await expect(down).rejects.toThrow(
      /^Expected the array for the tensor of float32 \[\d+\] to stay in place until downloadAsync\(\) resolved/,
    );
  });
});

describeStandIn('a transfer', () => {
  afterEach(() => standIn.hold(false));

  test('goes through pinned memory that is used again', () => {
    using tensor = cuda.from(numbers);
    const before = standIn.counters();
    for (let i = 0; i < 3; ++i) tensor.upload(tensor.download());
    const after = standIn.counters();
    expect(after.pinnedAllocations).toBe(before.pinnedAllocations);
    expect(after.copiedBytes - before.copiedBytes).toBe(6 * tensor.bytes);
    expect(after.pinnedBytesInUse).toBeLessThanOrEqual(64 * 2 ** 20);
  });

  test('that is asynchronous waits once, elsewhere', async () => {
    using tensor = cuda.tensor([length]);
    standIn.hold(true);
    const { synchronizations } = standIn.counters();
    await Promise.all([tensor.uploadAsync(numbers), tensor.downloadAsync()]);
    expect(standIn.counters().synchronizations - synchronizations).toBeLessThanOrEqual(2);
  });

  test('keeps no pinned memory beyond what is worth keeping', async () => {
    const large = new Uint8Array(80 * 2 ** 20);
    using tensor = cuda.tensor([large.length], 'uint8');
    await tensor.uploadAsync(large);
    expect(standIn.counters().pinnedBytesInUse).toBeLessThanOrEqual(64 * 2 ** 20);
  }, 60_000);
});

describeStandIn('memory that is freed', () => {
  beforeEach(() => cuda.synchronize()); // what other tests have freed
  afterEach(() => standIn.hold(false));

  test('is still there for what was queued before', async () => {
    standIn.hold(true);
    const other = cuda.stream();
    const tensor = cuda.from(numbers.subarray(0, 64));
    const { bytesInUse } = standIn.counters();
    const down = tensor.downloadAsync(undefined, { stream: other });
    tensor.free();
    expect(standIn.counters().bytesInUse).toBe(bytesInUse); // nobody has waited yet
    expect(await down).toEqual(numbers.slice(0, 64));
    cuda.synchronize();
    expect(standIn.counters().bytesInUse).toBe(bytesInUse - 256);
  });

  test('outlives a stream that was destroyed after work was queued on it', async () => {
    standIn.hold(true);
    const stream = cuda.stream();
    const tensor = cuda.from(numbers.subarray(0, 64));
    const { bytesInUse } = standIn.counters();
    const uploaded = tensor.uploadAsync(numbers.subarray(0, 64), { stream });
    stream.destroy();
    tensor.free();
    expect(standIn.counters().bytesInUse).toBe(bytesInUse);
    await uploaded;
    cuda.synchronize();
    expect(standIn.counters().bytesInUse).toBe(bytesInUse - 256);
  });
});
