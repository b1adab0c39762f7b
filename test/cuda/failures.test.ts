import { cuda, CudaError } from 'fused-optim';
import { describeStandIn, expectSameBits, standIn } from '../helpers/cuda';
import { collectTensors } from '../helpers/garbage';

/** The error of an action, as data. */
function caught(action: () => unknown): CudaError {
  try {
    action();
  } catch (error) {
    return error as CudaError;
  }
  throw new Error('Expected an error.');
}

const numbers = new Float32Array(64).fill(3);

describeStandIn('a call that fails', () => {
  beforeAll(collectTensors);
  afterEach(() => {
    standIn.fail('');
    standIn.setMemory(0, 2 ** 30);
  });

  test('for want of memory names the bytes asked for, and leaves nothing behind', () => {
    const before = standIn.counters().bytesInUse;
    const error = caught(() => cuda.tensor([2 ** 30]));
    expect(error).toBeInstanceOf(CudaError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'CudaError',
      call: 'cudaMalloc',
      code: 2,
      codeName: 'cudaErrorMemoryAllocation',
      kernel: undefined,
      bytes: 2 ** 32,
    });
    expect(error.message).toMatch(
      /^cudaMalloc failed with cudaErrorMemoryAllocation \(2\): 4294967296 bytes /,
    );
    expect(standIn.counters().bytesInUse).toBe(before);
  });

  test('for want of memory first takes what was freed but is still in use', async () => {
    standIn.setMemory(0, 2 ** 20);
    standIn.hold(true);
    const first = cuda.tensor([150_000]);
    const uploaded = first.uploadAsync(new Float32Array(150_000));
    first.free();
    using second = cuda.tensor([150_000]);
    standIn.hold(false);
    expect(second.bytes).toBe(600_000);
    await uploaded;
  });

  test('to say when memory is no longer used keeps it until that can be said', async () => {
    cuda.synchronize();
    const before = standIn.counters().bytesInUse;
    standIn.hold(true);
    const tensor = cuda.tensor([1000]);
    const uploaded = tensor.uploadAsync(new Float32Array(1000));
    const used = standIn.counters().bytesInUse;
    standIn.fail('cudaEventRecord:1+');
    tensor.free();
    expect(standIn.counters().bytesInUse).toBe(used);
    standIn.fail('');
    standIn.hold(false);
    await uploaded;
    cuda.synchronize();
    expect(standIn.counters().bytesInUse).toBe(before);
  });

  test.each([
    ['cudaMalloc:1', () => cuda.tensor([64])],
    ['cudaMalloc:1', () => cuda.from(numbers)],
    ['cudaMemsetAsync:1', () => cuda.tensor([64])],
    ['cudaMemcpyAsync:1', () => cuda.from(numbers)],
    ['cudaEventRecord:1', () => cuda.from(numbers)],
    ['cudaEventCreateWithFlags:1', () => cuda.from(numbers)],
    ['cudaEventSynchronize:1', () => cuda.from(numbers)],
    ['cudaStreamSynchronize:1', () => cuda.tensor([64])],
    ['cudaStreamCreateWithFlags:1', () => cuda.stream()],
    ['cudaEventCreateWithFlags:1', () => cuda.event()],
  ])('%s is a CudaError that leaves no memory behind', (plan, action) => {
    cuda.from(numbers).free(); // the stream and the pinned memory exist
    cuda.synchronize();
    const before = standIn.counters();
    standIn.fail(plan);
    const error = caught(action);
    standIn.fail('');
    expect(error).toMatchObject({ name: 'CudaError', call: plan.split(':')[0] });
    cuda.synchronize();
    const after = standIn.counters();
    expect([after.bytesInUse, after.streams]).toEqual([before.bytesInUse, before.streams]);
    using again = cuda.from(numbers);
    expect(again.download()).toEqual(numbers);
  });

  test.each(['cudaMemcpyAsync:1', 'cudaMemcpyAsync:2', 'cudaMemcpyAsync:4', 'cudaEventRecord:3'])(
    'in the middle of a long transfer (%s) leaves the tensor usable',
    (plan) => {
      const long = new Float32Array(5 * 2 ** 20).fill(1); // five pieces of pinned memory
      using tensor = cuda.from(long);
      for (const action of [() => tensor.upload(long), () => tensor.download()]) {
        standIn.fail(plan);
        expect(caught(action)).toBeInstanceOf(CudaError);
        standIn.fail('');
        expectSameBits(tensor.download(), long);
      }
    },
  );

  test('rejects the promise of an asynchronous transfer', async () => {
    using tensor = cuda.from(numbers);
    standIn.fail('cudaMemcpyAsync:1');
    await expect(tensor.uploadAsync(numbers)).rejects.toMatchObject({ call: 'cudaMemcpyAsync' });
    standIn.fail('cudaEventSynchronize:1');
    await expect(tensor.downloadAsync()).rejects.toBeInstanceOf(CudaError);
    standIn.fail('');
    expect(await tensor.downloadAsync()).toEqual(numbers);
  });
});

describeStandIn('a kernel that faults', () => {
  afterEach(() => {
    standIn.fail('');
    standIn.revive();
  });

  test('is named by every call from then on, and harms nobody else', async () => {
    using tensor = cuda.from(numbers);
    const stream = cuda.stream();
    const waiting = stream.record();
    waiting.synchronize();
    standIn.fail('sticky:1');
    standIn.launch(stream.handle);
    const fault = { name: 'CudaError', codeName: 'cudaErrorIllegalAddress', code: 700, kernel: 'nothing' };
    await expect(stream.synchronizeAsync()).rejects.toMatchObject(fault);
    const calls = [
      () => cuda.synchronize(),
      () => stream.synchronize(),
      () => tensor.download(),
      () => tensor.upload(numbers),
      () => cuda.tensor([3]),
      () => stream.record(),
    ];
    for (const call of calls) {
      const error = caught(call);
      expect(error).toMatchObject(fault);
      expect(error.message).toMatch(
        /^cuda\w+ failed with cudaErrorIllegalAddress \(700\): kernel nothing was running/,
      );
    }
    // Nothing throws where nothing can be done about it.
    tensor.free();
    stream.destroy();
  });
});
