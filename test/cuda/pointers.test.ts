import { cuda } from 'fused-optim';
import { describeCuda, describeStandIn, standIn } from '../helpers/cuda';

const numbers = new Float32Array([1, 2, 3, 4, 5, 6]);
const hex = (pointer: bigint): string => `0x${pointer.toString(16)}`;

describeCuda('a tensor from a pointer', () => {
  test('shares memory with whom it belongs to', () => {
    using whole = cuda.from(numbers);
    using part = cuda.fromPointer(whole.pointer + 8n, { shape: [2, 2], owner: whole, name: 'part' });
    expect(part).toMatchObject({ shape: [2, 2], dtype: 'float32', device: 0, pointer: whole.pointer + 8n });
    expect(part.download()).toEqual(numbers.slice(2));
    part.upload(new Float32Array(4));
    expect(whole.download()).toEqual(new Float32Array([1, 2, 0, 0, 0, 0]));
  });

  test('keeps its owner, and lets go of it when it is freed', () => {
    const whole = cuda.from(numbers);
    const part = cuda.fromPointer(whole.pointer, { shape: [6], owner: whole });
    whole.free();
    expect(part.download()).toEqual(numbers);
    expect(part.owner).toBe(whole);
    part.free();
    expect(part.owner).toBeUndefined();
  });

  test('may be of any dtype that the address is aligned for', () => {
    using whole = cuda.from(new Uint8Array(16).fill(1));
    for (const [dtype, size] of [['uint8', 1], ['float16', 2], ['float32', 4], ['float64', 8]] as const) {
      using part = cuda.fromPointer(whole.pointer + BigInt(size), { shape: [1], dtype });
      expect(part.bytes).toBe(size);
      if (size === 1) continue;
      expect(() => cuda.fromPointer(whole.pointer + 1n, { shape: [1], dtype })).toThrow(
        `Expected pointer of cuda.fromPointer() to be a multiple of ${size} for ${dtype} but received ${hex(whole.pointer + 1n)}.`,
      );
    }
  }); // prettier-ignore

  test('of nothing may be null', () => {
    using tensor = cuda.fromPointer(0n, { shape: [0] });
    expect(tensor.download()).toEqual(new Float32Array(0));
  });

  test('is refused unless it is device memory of this process', () => {
    // Nobody has the second page; another process's addresses mean as little here.
    expect(() => cuda.fromPointer(4096n, { shape: [2] })).toThrow(
      'Expected pointer of cuda.fromPointer() to be device memory of this process but CUDA does not know 0x1000 ' +
        '(was it freed, or is it of another process?).',
    );
  });

  test('is refused when it is shorter than needed', () => {
    using whole = cuda.from(numbers);
    const { pointer } = whole;
    expect(() => cuda.fromPointer(pointer, { shape: [2 ** 24] })).toThrow(
      /^Expected pointer of cuda.fromPointer\(\) to have 67108864 bytes but its allocation has \d+ from 0x/,
    );
    expect(() => cuda.fromPointer(pointer, { shape: [2], bytes: 2 ** 26 })).toThrow('to have 67108864 bytes');
    expect(() => cuda.fromPointer(pointer, { shape: [6], bytes: 20 })).toThrow(
      'Expected bytes of cuda.fromPointer() to be an integer >= 24, which shape [6] of float32 needs, but received 20.',
    );
  });

  test('is refused on another device than was said', () => {
    if (cuda.devices().length < 2)
      return void process.stderr.write('Not tested: two devices (there is one).\n');
    using other = cuda.from(numbers, { device: 1 });
    const { pointer } = other;
    expect(cuda.fromPointer(pointer, { shape: [6] }).device).toBe(1);
    expect(() => cuda.fromPointer(pointer, { shape: [6], device: 0 })).toThrow(
      `Expected pointer of cuda.fromPointer() to be on device 0 but ${hex(pointer)} is on device 1.`,
    );
  });

  test('is refused with arguments of the wrong kind', () => {
    const refuse = (pointer: unknown, options: unknown, message: string): void => {
      expect(() => cuda.fromPointer(pointer as never, options as never)).toThrow(message);
    };
    refuse(4096, { shape: [2] }, 'Expected pointer of cuda.fromPointer() to be a bigint but received 4096');
    refuse(-8n, { shape: [2] }, 'to be an address but received -8.');
    refuse(1n << 64n, { shape: [2] }, 'to be an address but received');
    refuse(
      4096n,
      undefined,
      'Expected shape of cuda.fromPointer() to be an array of sizes but received undefined.',
    );
    refuse(4096n, { shape: [2], stride: 1 }, 'Unknown option "stride" for cuda.fromPointer()');
    refuse(4096n, { shape: [2], bytes: '8' }, 'Expected bytes of cuda.fromPointer() to be a number of bytes');
  });
});

describeStandIn('a tensor from a pointer', () => {
  test('is refused for memory that was freed', () => {
    const whole = cuda.from(numbers);
    const { pointer } = whole;
    whole.free();
    cuda.synchronize();
    expect(() => cuda.fromPointer(pointer, { shape: [6] })).toThrow('(was it freed, or');
  });

  test('is refused for host memory, and takes managed memory', () => {
    const pinned = standIn.allocatePinned(64);
    expect(() => cuda.fromPointer(pinned, { shape: [6] })).toThrow(
      `Expected pointer of cuda.fromPointer() to be device memory but ${hex(pinned)} is host memory.`,
    );
    const managed = standIn.allocateManaged(0, 24);
    using tensor = cuda.fromPointer(managed, { shape: [6], device: 0 });
    tensor.upload(numbers);
    expect(tensor.download()).toEqual(numbers);
  });

  test('does not free what it was given', () => {
    using whole = cuda.from(numbers);
    cuda.fromPointer(whole.pointer, { shape: [6] }).free();
    cuda.synchronize();
    // Memory that was freed would be refused.
    expect(cuda.fromPointer(whole.pointer, { shape: [6] }).download()).toEqual(numbers);
    expect(whole.download()).toEqual(numbers);
  });
});
