import {
  AdamW,
  cuda,
  GradScaler,
  LAMB,
  Lookahead,
  Ranger,
  SGD,
  type CudaTensor,
  type Parameter,
} from 'fused-optim';
import { describeCuda, describeStandIn, expectSameBits, hostOf, standIn } from '../helpers/cuda';
import { values } from '../helpers/random';
import type { AnyOptimizer, Options, Trainer } from '../helpers/registry';

type Shapes = readonly (readonly number[])[];
const shapes: Shapes = [[33, 7], [5], [40_000], [1], [0], [3, 20_000]];

/** The same parameters in host and in CUDA memory. */
class Pair {
  readonly host: Parameter[];
  readonly device: Parameter[];
  constructor(shapesOfAll: Shapes = shapes) {
    const make = (place: (array: Float32Array) => Parameter['data']): Parameter[] =>
      shapesOfAll.map((shape, i) => ({
        name: `p.${i}`,
        shape,
        data: place(
          values(
            shape.reduce((product, size) => product * size, 1),
            i + 1,
          ),
        ),
      }));
    this.host = make((array) => array);
    this.device = make((array) => cuda.from(array));
  }
  /** Gradients of a step; new tensors each time, or the same ones. */
  give(step: number, { isNew = true, bad = -1 }: { isNew?: boolean; bad?: number } = {}): void {
    this.host.forEach((param, i) => {
      const grad = values(param.data.length, 100 * step + i, 0.2);
      if (i === bad) grad[2] = NaN;
      param.grad = grad;
      const twin = this.device[i]!;
      if (isNew || !twin.grad) twin.grad = cuda.from(grad);
      else (twin.grad as CudaTensor<'float32'>).upload(grad);
    });
  }
  expectSame(digits?: number): void {
    this.host.forEach(({ data }, i) => {
      const received = hostOf(this.device[i]!.data) as Float32Array;
      if (digits === undefined) expectSameBits(received, data as Float32Array);
      else
        expect(
          (data as Float32Array).findIndex(
            (wanted, k) =>
              !(Math.abs(received[k]! - wanted) <= 10 ** -digits * Math.max(1, Math.abs(wanted))),
          ),
        ).toBe(-1);
    });
  }
}

type Make = (params: Parameter[], options?: Options) => Trainer;
const adamw: Make = (params, options) => new AdamW(params, { lr: 0.01, ...options });

function counted<T>(action: () => T): [T, ReturnType<typeof standIn.counters>] {
  standIn.resetCounters();
  const result = action();
  return [result, standIn.counters()];
}
const launches = ({ launches: all }: ReturnType<typeof standIn.counters>): number =>
  Object.values(all).reduce((sum, count) => sum + count, 0);

describeStandIn('steps in CUDA memory', () => {
  test.each<[string, Make, Options, number]>([
    ['a rule of one pass', adamw, {}, 1],
    ['a rule of one pass that may be skipped', adamw, { nonFinite: 'skip' }, 2],
    ['clipping', adamw, { maxGradNorm: 1 }, 2],
    ['a norm rule', (params) => new LAMB(params), {}, 2],
    ['a graph', adamw, { cudaGraph: true }, 0],
    ['a graph that may be skipped', adamw, { cudaGraph: true, nonFinite: 'skip' }, 0],
  ])('%s: launches, and no allocation, copy or wait', (_, make, options, expected) => {
    const pair = new Pair();
    const optimizer = make(pair.device, options);
    for (let step = 0; step < 4; ++step) {
      pair.give(step, { isNew: false });
      optimizer.step();
      cuda.synchronize();
    }
    const [, counters] = counted(() => optimizer.step());
    expect(launches(counters)).toBe(expected);
    expect(counters).toMatchObject({
      allocations: 0,
      pinnedAllocations: 0,
      copies: 0,
      synchronizations: 0,
      graphLaunches: options.cudaGraph ? 1 : 0,
    });
  });

  test('memory that moved costs one copy', () => {
    const pair = new Pair();
    const optimizer = adamw(pair.device);
    pair.give(0);
    optimizer.step();
    pair.give(1);
    const [, counters] = counted(() => optimizer.step());
    expect([counters.copies, counters.synchronizations, counters.allocations]).toEqual([1, 0, 0]);
  });

  test('more groups than fit into a launch take their coefficients from the device', () => {
    const make = (place: (array: Float32Array) => Parameter['data']) =>
      Array.from({ length: 40 }, (_, i) => ({
        params: [{ name: `p.${i}`, data: place(values(70, i)), grad: place(values(70, i + 50)) }],
        lr: 0.01 * (i + 1),
      }));
    const [host, device] = [make((array) => array), make((array) => cuda.from(array))];
    const optimizers = [new AdamW(host), new AdamW(device)];
    for (let step = 0; step < 3; ++step) for (const optimizer of optimizers) optimizer.step();
    host.forEach(({ params }, i) =>
      expectSameBits(hostOf(device[i]!.params[0]!.data), params[0]!.data as Float32Array),
    );
  });
});

describeCuda('what becomes of steps in CUDA memory', () => {
  test.each<[string, Options]>([
    ['eager', {}],
    ['a graph', { cudaGraph: true }],
    ['skipping', { nonFinite: 'skip' }],
    ['a graph, skipping', { cudaGraph: true, nonFinite: 'skip' }],
    ['throwing', { nonFinite: 'throw' }],
  ])(
    '%s: the bits of the CPU, with a schedule, moving memory, and tensors that come and go',
    (_, options) => {
      const pair = new Pair();
      const { cudaGraph: _graph, ...plain } = options;
      const [host, device] = [adamw(pair.host, plain), adamw(pair.device, options)] as [AdamW, AdamW];
      for (const optimizer of [host, device]) optimizer.schedule({ lr: (step) => 0.01 / (1 + step) });
      for (let step = 0; step < 40; ++step) {
        pair.give(step, { isNew: step % 3 === 0 });
        if (step % 11 === 7) for (const params of [pair.host, pair.device]) params[step % 3]!.grad = null;
        host.step();
        device.step();
      }
      pair.expectSame();
      expect(device.stateDict().step).toBe(40);
      expect(device.paramGroups).toEqual(
        host.paramGroups.map((group) => ({ ...group, params: pair.device })),
      );
    },
  );

  test.each<[string, Options]>([
    ['eager', {}],
    ['a graph', { cudaGraph: true }],
  ])('%s: a bad gradient is skipped, and the counts are those of the CPU', (_, options) => {
    const pair = new Pair();
    const skip = { nonFinite: 'skip' };
    const [host, device] = [adamw(pair.host, skip), adamw(pair.device, { ...skip, ...options })] as [
      AnyOptimizer,
      AnyOptimizer,
    ];
    const results = [];
    for (let step = 0; step < 8; ++step) {
      pair.give(step, { bad: step === 2 ? 2 : step === 5 ? 0 : -1 });
      results.push([host.step(), device.step()] as const);
    }
    for (const [expected, received] of results) {
      expect([received.applied, received.step, received.nonFinite]).toEqual([
        expected.applied,
        expected.step,
        expected.nonFinite,
      ]);
    }
    expect(device.skippedSteps).toBe(host.skippedSteps);
    pair.expectSame();
    expect(device.state(pair.device[0]!).step).toBe(host.state(pair.host[0]!).step);
  });

  test('a bad gradient throws where that was asked for, and changes nothing', () => {
    const pair = new Pair();
    const [host, device] = [adamw(pair.host), adamw(pair.device, { nonFinite: 'throw' })];
    pair.give(0);
    host.step();
    device.step();
    pair.give(1, { bad: 2 });
    expect(() => device.step()).toThrow(
      'Expected grad of "p.2" to be finite but received NaN at element 2; nothing was changed.',
    );
    pair.expectSame();
    pair.give(2);
    host.step();
    device.step();
    pair.expectSame();
  });

  test('clips as the CPU does, and tells the norm when it is asked', () => {
    const pair = new Pair();
    const [host, device] = [adamw(pair.host, { maxGradNorm: 0.5 }), adamw(pair.device, { maxGradNorm: 0.5 })];
    for (let step = 0; step < 5; ++step) {
      pair.give(step);
      const [expected, received] = [host.step(), device.step()];
      expect(received.gradNorm! / expected.gradNorm!).toBeCloseTo(1, 5);
    }
    pair.expectSame(5);
  });

  test('clips, and names what is not finite, among more tensors than blocks add up sums of', () => {
    const pair = new Pair(Array.from({ length: 5000 }, (_, i) => [3 + (i % 4)]));
    const options = { maxGradNorm: 0.5, nonFinite: 'skip' };
    const [host, device] = [adamw(pair.host, options), adamw(pair.device, options)];
    for (const bad of [-1, 4321]) {
      pair.give(0, { bad, isNew: false });
      const [expected, received] = [host.step(), device.step()];
      expect([received.applied, received.nonFinite]).toEqual([expected.applied, expected.nonFinite]);
      if (bad < 0) expect(received.gradNorm! / expected.gradNorm!).toBeCloseTo(1, 5);
      else expect(received.nonFinite).toBe('p.4321');
    }
    pair.expectSame(5);
    // So much is not left to the garbage collector, which other tests would meet.
    device.dispose();
    for (const { data, grad } of pair.device)
      for (const tensor of [data, grad]) (tensor as CudaTensor).free();
  });

  test('a scaler hears of steps before anybody reads its scale', () => {
    const pair = new Pair();
    const scalers = [0, 1].map(() => new GradScaler({ initScale: 8, growthInterval: 2 }));
    const [host, device] = [
      adamw(pair.host, { gradScale: scalers[0] }),
      adamw(pair.device, { gradScale: scalers[1] }),
    ];
    const scales = [];
    for (let step = 0; step < 7; ++step) {
      pair.give(step, { bad: step === 3 ? 0 : -1 });
      host.step();
      device.step();
      scales.push(scalers.map(({ scale }) => scale));
    }
    for (const [expected, received] of scales) expect(received).toBe(expected);
    expect(scales.at(-1)).not.toEqual([8, 8]);
    pair.expectSame();
  });

  test.each<[string, Make]>([
    ['Lookahead', (params, options) => new Lookahead(new AdamW(params, { lr: 0.01, ...options }), { k: 3 })],
    [
      'Lookahead that resets momentum',
      (params) => new Lookahead(new SGD(params, { lr: 0.01 }), { k: 3, innerStateOnSync: 'resetAll' }),
    ],
  ])('%s: the bits of the CPU, eager and as a graph', (name, make) => {
    for (const options of name === 'Lookahead' ? [{}, { cudaGraph: true }, { nonFinite: 'skip' }] : [{}]) {
      const pair = new Pair();
      const { cudaGraph: _, ...plain } = options as Options;
      const [host, device] = [make(pair.host, plain), make(pair.device, options)];
      for (let step = 0; step < 8; ++step) {
        pair.give(step);
        host.step();
        device.step();
      }
      pair.expectSame();
    }
  });

  test('Ranger takes the means of gradients', () => {
    const pair = new Pair();
    const [host, device] = [new Ranger(pair.host), new Ranger(pair.device)];
    for (let step = 0; step < 7; ++step) {
      pair.give(step);
      host.step();
      device.step();
    }
    pair.expectSame(6);
  });

  test('diagnostics are those of the CPU', () => {
    const pair = new Pair();
    const [host, device] = [
      adamw(pair.host, { diagnostics: true }),
      adamw(pair.device, { diagnostics: true }),
    ];
    pair.give(0);
    host.step();
    const first = device.step();
    pair.give(1);
    const [expected, received] = [host.step(), device.step()];
    expect(Object.keys(first.tensors!)).toHaveLength(shapes.length);
    for (const [name, tensor] of Object.entries(expected.tensors!))
      for (const [key, value] of Object.entries(tensor)) {
        const other = (received.tensors![name] as unknown as Record<string, number>)[key]!;
        const wanted = Number(value);
        if (Number.isNaN(wanted)) expect(other).toBeNaN();
        else expect(Math.abs(other - wanted)).toBeLessThanOrEqual(1e-4 * Math.abs(wanted));
      }
    expect(received.gradNorm! / expected.gradNorm!).toBeCloseTo(1, 5);
  });
});
