/** ortParameters() over a session that plays onnxruntime; test/examples/gpt-run.test.ts runs the real one. */
import { AdamW, ortParameters, type OrtMetadata, type OrtTensor } from 'fused-optim';

class Tensor implements OrtTensor {
  constructor(
    readonly type: string,
    readonly data: unknown,
    readonly dims: readonly number[],
  ) {}
}
const ort = { Tensor };

const input = (name: string, shape: (number | string)[], type = 'float32'): OrtMetadata => ({
  name,
  type,
  shape,
});

/** y = w x + b, its loss and gradients, as a graph would compute them. */
function session(changes: { inputs?: OrtMetadata[]; outputs?: OrtMetadata[]; copies?: boolean } = {}) {
  const calls: Record<string, Tensor>[] = [];
  return {
    calls,
    inputMetadata: changes.inputs ?? [
      input('x', [4]),
      input('y', ['rows']),
      input('w', [1]),
      input('b', [1]),
    ],
    outputMetadata: changes.outputs ?? [
      input('loss', []),
      input('grad.w', [1]),
      input('grad.b', [1]),
      input('errors', [4]),
    ],
    async run(
      feeds: Record<string, Tensor>,
      fetches: Record<string, Tensor>,
    ): Promise<Record<string, Tensor>> {
      await new Promise((resolve) => setImmediate(resolve));
      calls.push(feeds);
      if (!feeds.w) throw new Error('no w');
      const [x, y, w, b] = ['x', 'y', 'w', 'b'].map((name) => feeds[name]!.data as Float32Array);
      if (Number.isNaN(x![0])) throw new Error('the runtime has failed');
      const errors = x!.map((one, i) => w![0]! * one + b![0]! - y![i]!);
      const sum = (values: Float32Array) => values.reduce((all, one) => all + one, 0);
      const values = {
        loss: [sum(errors.map((e) => e * e))],
        'grad.w': [2 * sum(errors.map((e, i) => e * x![i]!))],
        'grad.b': [2 * sum(errors)],
        errors: [...errors],
      };
      return Object.fromEntries(
        Object.entries(values).map(([name, numbers]) => {
          const into = changes.copies ? undefined : (fetches[name] as Tensor | null | undefined)?.data;
          const data = (into as Float32Array | undefined) ?? new Float32Array(numbers.length);
          data.set(numbers);
          return [name, new Tensor('float32', data, [])];
        }),
      );
    },
  };
}

const batch = {
  x: Float32Array.of(-1, 0, 1, 2),
  y: new Tensor('float32', Float32Array.of(-1, 1, 3, 5), [4]),
};

describe('ortParameters()', () => {
  test.each([false, true])('trains what the graph computes (a runtime that copies: %p)', async (copies) => {
    const graph = session({ copies });
    const training = ortParameters(graph, { ort, role: () => 'vector' });
    const [w, b] = training.parameters;
    expect(training.parameters.map(({ name, shape, role }) => ({ name, shape, role }))).toEqual([
      { name: 'w', shape: [1], role: 'vector' },
      { name: 'b', shape: [1], role: 'vector' },
    ]);
    expect(w!.grad).toBeNull();
    const optimizer = new AdamW(training.parameters, { lr: 0.05, weightDecay: 0 });
    let loss = NaN;
    for (let i = 0; i < 400; ++i) {
      ({ loss } = await training.run(batch));
      optimizer.step();
    }
    expect(loss).toBeLessThan(1e-4);
    expect(w!.data[0]).toBeCloseTo(2, 2);
    expect(b!.data[0]).toBeCloseTo(1, 2);
    // The very memory of the tensors that are fed.
    expect(graph.calls.at(-1)!.w!.data).toBe(w!.data);
    expect(training.feeds.w!.data).toBe(w!.data);
    optimizer.dispose();
  });

  test('gives the other outputs, and takes memory that is there', async () => {
    const weights = { w: Float32Array.of(2) };
    const training = ortParameters(session(), { ort, weights });
    expect(training.parameters[0]!.data).toBe(weights.w);
    const { loss, outputs } = await training.run(batch);
    expect(loss).toBe(4);
    expect(Object.keys(outputs)).toEqual(['errors']);
    expect(outputs.errors!.data).toEqual(Float32Array.of(-1, -1, -1, -1));
  });

  test('lends weights and gradients to a run', async () => {
    const training = ortParameters(session(), { ort });
    const [w] = training.parameters;
    const running = training.run(batch);
    expect(() => w!.data).toThrow('Expected run() to be awaited before data of "w" is used.');
    expect(() => w!.grad).toThrow('Expected run() to be awaited before grad of "w" is used.');
    await expect(training.run(batch)).rejects.toThrow('Expected run() to be awaited before run() is used.');
    await running;
    expect(w!.grad).toHaveLength(1);
    w!.grad = null;
    await training.run(batch);
    expect(w!.grad).toHaveLength(1);
  });

  test('has no gradients after a run that failed', async () => {
    const training = ortParameters(session(), { ort });
    await training.run(batch);
    await expect(training.run({ ...batch, x: new Float32Array(4).fill(NaN) })).rejects.toThrow(
      'the runtime has failed',
    );
    expect(training.parameters.map(({ grad }) => grad)).toEqual([null, null]);
    expect((await training.run(batch)).loss).toBeGreaterThan(0);
  });

  test('finds gradients and the loss by names that are given', () => {
    const graph = session({
      inputs: [input('w', [2, 3], 'float64'), input('x', [4])],
      outputs: [input('cost', [1], 'float64'), input('w_grad', [2, 3], 'float64')],
    });
    const { parameters } = ortParameters(graph, {
      ort,
      loss: 'cost',
      gradient: (name) => `${name}_grad`,
      layout: () => 'in-out',
    });
    expect(parameters[0]).toMatchObject({ name: 'w', shape: [2, 3], layout: 'in-out' });
    expect(parameters[0]!.data).toBeInstanceOf(Float64Array);
  });

  const loss = input('loss', []);
  test.each([
    [
      { outputs: [input('los', []), input('grad.w', [1])] },
      'Expected the graph to have an output "loss" with the loss but its outputs are "los", "grad.w"; did you mean "los"?',
    ],
    [
      { outputs: [input('loss', [4]), input('grad.w', [1])] },
      'Expected output "loss" to be one number but its shape is [4].',
    ],
    [
      { outputs: [input('loss', [], 'int64')] },
      'Expected output "loss" of the graph to be float32, float64 or float16',
    ],
    [
      { outputs: [loss] },
      'Expected the graph to have the gradient of an input among its outputs, as "grad.x" for "x", but they are "loss".',
    ],
    [
      { outputs: [loss, input('grad.w', [2])] },
      'Expected output "grad.w" of the graph to have shape [1], as "w" has, but received [2].',
    ],
    [
      { outputs: [loss, input('grad.w', [1], 'float64')] },
      'Expected output "grad.w" of the graph to be float32, as "w" is, but it is float64.',
    ],
    [
      { outputs: [loss, input('grad.y', [4])] },
      'Expected input "y" of the graph to have a fixed shape but received [rows].',
    ],
    [
      { inputs: [input('w', [1], 'int64')], outputs: [loss, input('grad.w', [1])] },
      'Expected input "w" of the graph to be float32, float64 or float16 but it is int64.',
    ],
  ])('refuses a graph whose parts do not go together: %#', (changes, message) => {
    expect(() => ortParameters(session(changes), { ort })).toThrow(message);
  });

  test.each([
    [{ weights: { v: new Float32Array(1) } }, 'Unknown option "v" for weights of ortParameters()'],
    [
      { weights: { w: new Float32Array(2) } },
      'Expected weights."w" to have 1 elements for shape [1] but received 2.',
    ],
    [{ weights: { w: [1] } }, 'Expected weights."w" to be a Float32Array but received [1].'],
    [{ los: 'loss' }, 'Unknown option "los" for ortParameters(): did you mean "loss"?'],
    [
      { ort: {} },
      'Expected ort of ortParameters() to be the package onnxruntime-node but received an object.',
    ],
  ])('refuses options: %j', (options, message) => {
    expect(() => ortParameters(session(), { ort, ...options } as never)).toThrow(message);
  });

  test.each([
    [{ x: batch.x }, 'Expected inputs "x", "y" for run() but "y" is missing.'],
    [{ ...batch, z: batch.x }, 'Unknown input "z" for run(): its inputs are "x", "y".'],
    [{ ...batch, w: batch.x }, 'Unknown input "w" for run(): it is a weight, whose memory is bound already.'],
    [
      { ...batch, x: new Float32Array(3) },
      'Expected "x" of run() to have 4 elements for shape [4] but received 3.',
    ],
    [{ ...batch, y: new Float32Array(4) }, 'Expected input "y" of the graph to have a fixed shape'],
    [undefined, 'Expected the batch of run() to be an object of tensors by name but received undefined.'],
  ])('refuses a batch: %#', async (given, message) => {
    await expect(ortParameters(session(), { ort }).run(given as never)).rejects.toThrow(message);
  });

  test('refuses what is no session', () => {
    expect(() => ortParameters(undefined as never, { ort })).toThrow(
      'Expected the session of ortParameters() to be an InferenceSession but received undefined.',
    );
    const old = { ...session(), inputMetadata: undefined };
    expect(() => ortParameters(old as never, { ort })).toThrow(
      'Expected inputMetadata of the session to be a list',
    );
  });
});
