import { AdamW, cuda, Muon, Offload, type CudaTensor, type HostTwin, type Parameter } from 'fused-optim';
import { bitsOf } from '../helpers/bits';
import { describeStandIn, expectSameBits, standIn } from '../helpers/cuda';
import { values } from '../helpers/random';

/** float32 numbers as bfloat16, cut off. */
const halves = (array: Float32Array): Uint16Array =>
  Uint16Array.from(new Uint32Array(array.buffer.slice(0)), (bits) => bits >>> 16);

const sizes = [7, 4096, 300, 1, 0, 70_001, 12];

interface Pair {
  readonly device: Parameter & { data: CudaTensor; grad: CudaTensor | null };
  readonly host: Parameter & { data: Uint16Array; grad: Uint16Array | null };
}

/** The same bfloat16 parameters on the device and on the host. */
function pairs(): Pair[] {
  return sizes.map((size, i) => {
    const data = halves(values(size, i));
    const grad = halves(values(size, 50 + i));
    const dtype = 'bfloat16';
    const name = `t${i}`;
    return {
      device: { name, data: cuda.from(data, { dtype }), grad: cuda.from(grad, { dtype }) },
      host: { name, dtype, data: data.slice(), grad },
    };
  });
}

function expectSame(list: readonly Pair[]): void {
  for (const { device, host } of list)
    expect(bitsOf(device.data.download() as Uint16Array).equals(bitsOf(host.data))).toBe(true);
}

const make = (params: readonly Parameter[]): AdamW => new AdamW(params, { lr: 0.01 });

describeStandIn('Offload', () => {
  test.each([1, 5000, 2 ** 25])('has the bits of the host with buckets of %i bytes', (bucketBytes) => {
    const list = pairs();
    const offload = new Offload(
      list.map(({ device }) => device),
      make,
      { bucketBytes },
    );
    const host = make(list.map((pair) => pair.host));
    for (let step = 0; step < 4; ++step) {
      // Some gradients are missing at some steps.
      list.forEach((pair, i) => {
        const isGone = (i + step) % 4 === 0;
        const grad = halves(values(sizes[i]!, 100 * step + i));
        pair.host.grad = isGone ? null : grad;
        pair.device.grad = isGone ? null : cuda.from(grad, { dtype: 'bfloat16' });
      });
      expect(offload.step()).toEqual(host.step());
      expectSame(list);
    }
    const { master } = offload.state(list[1]!.device) as { master?: Float32Array };
    expect(master).toEqual(host.state(list[1]!.host).master);
    expect(offload.stateBytes()).toBe(host.stateBytes());
    offload.dispose();
  });

  test('waits for gradients that are still being computed, and makes later work wait for the weights', () => {
    const list = pairs();
    const offload = new Offload(
      list.map(({ device }) => device),
      make,
      { bucketBytes: 1000 },
    );
    const host = make(list.map((pair) => pair.host));
    standIn.hold(true);
    try {
      list.forEach(({ device, host: twin }, i) => {
        twin.grad = halves(values(sizes[i]!, 900 + i));
        void device.grad!.uploadAsync(twin.grad);
      });
      offload.step();
      host.step();
      expectSame(list);
    } finally {
      standIn.hold(false);
    }
    offload.dispose();
  });

  test('keeps nothing on the device', () => {
    const list = pairs();
    const before = standIn.counters().bytesInUse;
    const offload = new Offload(
      list.map(({ device }) => device),
      make,
    );
    offload.step();
    expect(standIn.counters().bytesInUse).toBe(before);
    const { allocations, pinnedAllocations } = standIn.counters();
    offload.step();
    expect(standIn.counters()).toMatchObject({ allocations, pinnedAllocations });
    offload.dispose();
  });

  test('clips by the norm of all gradients, and skips a step with a bad one', () => {
    const list = pairs();
    const options = { lr: 0.01, maxGradNorm: 0.5, nonFinite: 'skip' } as const;
    const clipped = (params: readonly Parameter[]): AdamW => new AdamW(params, options);
    const offload = new Offload(
      list.map(({ device }) => device),
      clipped,
      { bucketBytes: 1000 },
    );
    const host = clipped(list.map((pair) => pair.host));
    expect(offload.step()).toEqual(host.step());
    expectSame(list);
    list[5]!.device.grad = cuda.from(new Uint16Array(sizes[5]!).fill(0x7f80), { dtype: 'bfloat16' });
    expect(offload.step()).toMatchObject({ applied: false, nonFinite: 't5' });
    expectSame(list);
    offload.dispose();
  });

  test('updates the matrices of Muon with the last bucket', () => {
    const shapes = [[8, 16], [5], [16, 8], [3]];
    const list = shapes.map((shape, i) => {
      const size = shape.reduce((a, b) => a * b);
      const data = values(size, i);
      const grad = values(size, 20 + i);
      const name = `m${i}`;
      return {
        device: { name, shape, data: cuda.from(data), grad: cuda.from(grad) },
        host: { name, shape, data: data.slice(), grad },
      };
    });
    const offload = new Offload(
      list.map(({ device }) => device),
      (params) => new Muon(params),
      { bucketBytes: 1 },
    );
    const host = new Muon(list.map((pair) => pair.host));
    for (let step = 0; step < 3; ++step) {
      offload.step();
      host.step();
      for (const { device, host: twin } of list) expectSameBits(device.data.download(), twin.data);
    }
    offload.dispose();
  });

  test('resumes from the checkpoint of an optimizer on the host', () => {
    const list = pairs();
    const host = make(list.map((pair) => pair.host));
    host.step();
    list.forEach(({ device, host: twin }) => device.data.upload(twin.data));
    const offload = new Offload(
      list.map(({ device }) => device),
      make,
    );
    offload.loadStateDict(host.stateDict());
    offload.step();
    host.step();
    expectSame(list);
    offload.dispose();
  });

  test('refuses what it cannot do, in words', () => {
    const [{ device }] = pairs() as [Pair];
    const data = new Float32Array(4);
    expect(() => new Offload([{ data }], make)).toThrow(
      'Expected data of "param.0" to be a CudaTensor for Offload',
    );
    expect(() => new Offload([device], () => make([{ data }]))).toThrow('but "t0" is missing');
    expect(() => new Offload([device], make, { bucketBytes: 0 })).toThrow(
      'Expected bucketBytes of Offload to be an integer >= 1 but received 0.',
    );
    expect(() => new Offload([device], (() => undefined) as unknown as typeof make)).toThrow(
      'Expected what the second argument of Offload makes to be an optimizer of this package',
    );
    const offload = new Offload([device], (params: readonly HostTwin[]) => make(params));
    const before = device.data.download();
    device.grad = cuda.tensor([9], 'bfloat16');
    expect(() => offload.step()).toThrow(
      'Expected grad of "t0" to have 7 elements on device 0 but received 9 on device 0.',
    );
    device.grad.free();
    expect(() => offload.step()).toThrow('Expected grad of "t0" to have memory but it was freed.');
    expect(device.data.download()).toEqual(before);
    offload.dispose();
  });
});
