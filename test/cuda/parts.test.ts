import type { CudaTensor } from 'fused-optim';
import { cuda } from 'fused-optim';
import { describeCuda, describeStandIn, standIn } from '../helpers/cuda';
import { collectGarbage } from '../helpers/garbage';

const counted = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => i);

describeCuda('a part of a CUDA tensor', () => {
  test.each(['float32', 'float64', 'bfloat16', 'float16', 'uint8'] as const)(
    'of %s shares its memory',
    (dtype) => {
      using whole = cuda.tensor([3, 4], dtype, { name: 'w' });
      whole.upload(whole.download().map((_, i) => i));
      using part = whole.subarray(5, 9);
      expect(part).toMatchObject({ shape: [4], length: 4, dtype, device: 0, name: 'w', freed: false });
      expect(part.pointer - whole.pointer).toBe(BigInt((5 * whole.bytes) / 12));
      expect([...part.download()]).toEqual([5, 6, 7, 8]);
      part.upload(part.download().fill(50));
      expect([...whole.download()]).toEqual([0, 1, 2, 3, 4, 50, 50, 50, 50, 9, 10, 11]);
      using inner = part.subarray(1, 2);
      expect(inner.pointer - part.pointer).toBe(BigInt(whole.bytes / 12));
    },
  );

  test('reaches to the end unless told otherwise, and may be empty', () => {
    using whole = cuda.from(counted(5));
    using tail = whole.subarray(3);
    expect([...tail.download()]).toEqual([3, 4]);
    using all = whole.subarray(0);
    expect(all.length).toBe(5);
    using none = whole.subarray(5);
    expect(none).toMatchObject({ shape: [0], bytes: 0 });
    expect(none.download()).toEqual(new Float32Array(0));
    using empty = cuda.tensor([0]);
    expect(empty.subarray(0, 0).length).toBe(0);
  });

  test('keeps the memory when the whole is freed, and the other way round', () => {
    const whole = cuda.from(counted(6));
    const [part, other] = [whole.subarray(2, 4), whole.subarray(4)];
    other.free();
    expect([...whole.download()]).toEqual([...counted(6)]);
    whole.free();
    expect([...part.download()]).toEqual([2, 3]);
    part.free();
  });

  test('keeps what the whole was told to keep', () => {
    using memory = cuda.from(counted(4));
    const owner = { of: 'the memory' };
    const whole = cuda.fromPointer(memory.pointer, { shape: [4], owner });
    const part = whole.subarray(1);
    whole.free();
    expect(part.owner).toBe(owner);
  });

  const bad: [string, unknown, unknown, string][] = [
    ['half an index', 0.5, 2, 'Expected begin of subarray() to be an integer in [0, 6] but received 0.5.'],
    ['a negative one', -1, 2, 'Expected begin of subarray() to be an integer in [0, 6] but received -1.'],
    ['one past the end', 7, 7, 'Expected begin of subarray() to be an integer in [0, 6] but received 7.'],
    ['an end past the end', 2, 7, 'Expected end of subarray() to be an integer in [2, 6] but received 7.'],
    ['an end before', 3, 2, 'Expected end of subarray() to be an integer in [3, 6] but received 2.'],
    ['NaN', NaN, 2, 'Expected begin of subarray() to be an integer in [0, 6] but received NaN.'],
    ['a word', '1', 2, 'Expected begin of subarray() to be an integer in [0, 6] but received "1".'],
    ['null', 0, null, 'Expected end of subarray() to be an integer in [0, 6] but received null.'],
  ];
  test.each(bad)('is refused from %s', (_, begin, end, message) => {
    using whole = cuda.from(counted(6));
    expect(() => whole.subarray(begin as never, end as never)).toThrow(message);
  });

  test('is refused of a tensor that was freed', () => {
    const tensor = cuda.tensor([2], 'float32', { name: 'w' });
    tensor.free();
    expect(() => tensor.subarray(0, 1)).toThrow(
      'Expected tensor "w" to have memory for subarray() but it was freed.',
    );
  });
});

describeStandIn('the memory of parts', () => {
  test('is freed when nobody has any of it', async () => {
    cuda.synchronize();
    // What test files before this one have left in the process goes first.
    let last = -1;
    await collectGarbage(() => {
      cuda.tensor([0]).free();
      const { bytesInUse } = standIn.counters();
      const isStill = bytesInUse === last;
      last = bytesInUse;
      return isStill;
    });
    await collectGarbage();
    cuda.tensor([0]).free();
    const before = standIn.counters().bytesInUse;
    const readPart = async (): Promise<void> => {
      const part = (() => cuda.from(counted(1000)).subarray(10, 20))();
      await collectGarbage();
      expect([...part.download()]).toEqual([...counted(20).subarray(10)]);
      expect(standIn.counters().bytesInUse).toBeGreaterThan(before);
    };
    await readPart();
    await collectGarbage(() => (cuda.tensor([0]).free(), standIn.counters().bytesInUse <= before));
    expect(standIn.counters().bytesInUse).toBeLessThanOrEqual(before);
  });
});

describeCuda('a copy between CUDA tensors', () => {
  test('is queued in a stream, whatever the shapes', () => {
    using stream = cuda.stream();
    using from = cuda.from(counted(12), { shape: [3, 4] });
    using to = cuda.tensor([12]);
    expect(to.copyFrom(from, { stream })).toBe(to);
    expect(to.download(undefined, { stream })).toEqual(counted(12));
    using half = cuda.tensor([6]);
    half.copyFrom(from.subarray(6));
    expect([...half.download()]).toEqual([6, 7, 8, 9, 10, 11]);
    from.subarray(0, 6).copyFrom(from.subarray(6)); // of one memory, side by side
    expect([...from.subarray(0, 6).download()]).toEqual([6, 7, 8, 9, 10, 11]);
    expect(to.copyFrom(to).download()).toEqual(counted(12));
  });

  test('outlives the tensor it reads', () => {
    const from = cuda.from(counted(1000));
    using to = cuda.tensor([1000]);
    to.copyFrom(from);
    from.free();
    expect(to.download()).toEqual(counted(1000));
  });

  test('may be empty', () => {
    using empty = cuda.tensor([0]);
    using other = cuda.tensor([0, 3]);
    expect(empty.copyFrom(other)).toBe(empty);
  });

  test('is refused where tensors do not fit, and nothing is written', () => {
    using to = cuda.from(new Float32Array([1, 2]), { name: 'w' });
    const freed = cuda.tensor([2], 'float32', { name: 'gone' });
    freed.free();
    const four = cuda.from(counted(4));
    const wrong: [unknown, string][] = [
      [new Float32Array(2), 'Expected the tensor to copy into tensor "w" to be a CudaTensor but received a Float32Array.'],
      [null, 'Expected the tensor to copy into tensor "w" to be a CudaTensor but received null.'],
      [cuda.tensor([2], 'float64'), 'Expected the tensor to copy into tensor "w" to be float32 but received float64.'],
      [four, 'Expected the tensor to copy into tensor "w" to have 2 elements but received 4.'],
      [freed, 'Expected tensor "gone" to have memory for copyFrom() but it was freed.'],
    ]; // prettier-ignore
    for (const [source, message] of wrong) expect(() => to.copyFrom(source as never)).toThrow(message);
    expect(() => to.copyFrom(to, { strem: 1 } as never)).toThrow('Unknown option "strem" for copyFrom()');
    expect(to.download()).toEqual(new Float32Array([1, 2]));
    expect(() => four.subarray(0, 3).copyFrom(four.subarray(1))).toThrow(
      'Expected the tensor to copy into the tensor of float32 [3] to share all of its memory or none but they overlap in part.',
    );
    expect(four.download()).toEqual(counted(4));
    const gone: CudaTensor = freed;
    expect(() => gone.copyFrom(to)).toThrow('Expected tensor "gone" to have memory for copyFrom()');
  });

  test('is refused between devices', () => {
    if (cuda.devices().length < 2)
      return void process.stderr.write('Not tested: two devices (one is here).\n');
    using to = cuda.tensor([2]);
    using from = cuda.tensor([2], 'float32', { device: 1 });
    expect(() => to.copyFrom(from)).toThrow(
      'Expected the tensor to copy into the tensor of float32 [2] to be on device 0 but received one on device 1.',
    );
  });
});
