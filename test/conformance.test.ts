import { difference, expectSameBits } from './helpers/bits';
import { isas, runnableIsas, widestIsa, describeIsas, withIsa } from './helpers/isas';
import { specialValues, values } from './helpers/random';
import {
  forVariants,
  registered,
  rules,
  setOptions,
  switches,
  testLr,
  wholeTensorRules,
  type Options,
  type Registered,
} from './helpers/registry';
import { expectPrefixes, expectSameOutcome, source, train, type Setup } from './helpers/runs';

/** Every size up to beyond four AVX-512 vectors, and odd ones; together enough for several threads. */
const sizes = [...Array(68).keys(), 127, 1000, 4097, 70_001];
const numbers = source(70_001, 3);
const special = source(1000, 3, specialValues);
const huge = source(200_003, 2);

/** Three tensors; after as many steps every optimizer has moved its parameters by what it saw in the second. */
const poisonSteps = 9;
const poison = Array.from({ length: 3 }, () => source(33, poisonSteps));
const nanElement = 17;
const badElements: ReadonlyMap<number, number> = new Map([
  [5, Infinity],
  [nanElement, NaN],
  [30, -Infinity],
]);

const reference: Setup = { isa: 'scalar', threads: 1, dataOffset: 0, gradOffset: 0 };
const threadCounts = [1, 2, 3, 5];

/**
 * How a variant is run besides the reference. Variants with at most one switch are run with every thread count on
 * every instruction set, the others with one that changes from variant to variant; so do the offsets.
 */
function setupsFor(entry: Registered, options: Options, index: number): readonly Setup[] {
  const few = switches(entry, options) <= 1;
  return runnableIsas.flatMap((isa, i) =>
    (few ? threadCounts : [threadCounts[(index + i) % 4]!]).map((threads, k) => {
      const turn = (index >> 2) + i + k;
      return { isa, threads, dataOffset: turn & 1, gradOffset: (turn >> 1) & 1 };
    }),
  );
}

/** RAdam without its momentum steps waits five steps before it moves anything. */
const mayMove = ({ degenerateToSgd }: Options): boolean => degenerateToSgd !== false;

const elementwise = ({ rules }: Registered): boolean =>
  !rules.some((rule) => wholeTensorRules.includes(rule));

describe('the registry', () => {
  test('has kernels for every instruction set here, or says what is missing', () => {
    for (const { name, reason } of isas) {
      if (reason) process.stderr.write(`Not tested: the ${name} kernels (${reason}).\n`);
      const make = () => withIsa(name, () => new registered[0]!.Class([{ data: new Float32Array(1) }]));
      if (reason) expect(make).toThrow(reason);
      else expect(make).not.toThrow();
    }
    expect(isas.map(({ name }) => name)).toContain('scalar');
  });

  test.each(rules)('row "%s" is behind a class that lib/index.ts exports', (rule) => {
    const classes = registered.filter((entry) => entry.rules.includes(rule));
    if (classes.length === 0) throw new Error(`No class exported by lib/index.ts uses the rule "${rule}".`);
  });
});

describe.each(registered)('$name', (entry) => {
  const { Class } = entry;

  test('gives the same bits with every instruction set, thread count and offset, in every variant', () => {
    forVariants(entry, (options, index) => {
      const expected = train(Class, options, sizes, numbers, reference);
      if (mayMove(options)) expect(difference(expected.data.at(-1)!, numbers.data)).toBeDefined();
      if (elementwise(entry)) expectPrefixes(expected);
      for (const setup of setupsFor(entry, options, index)) {
        const received = train(Class, options, sizes, numbers, setup);
        expectSameOutcome(received, expected, `with ${JSON.stringify(setup)}`);
      }
    });
  });

  test('gives the same bits for NaN, infinity, -0, subnormal and huge numbers', () => {
    forVariants(entry, (options) => {
      const few = [1, 7, 31, 1000];
      const expected = train(Class, options, few, special, reference);
      for (const isa of runnableIsas) {
        const setup = { isa, threads: 1, dataOffset: 1, gradOffset: 1 };
        expectSameOutcome(train(Class, options, few, special, setup), expected, `with ${isa}`);
      }
    });
  });

  test('maximizes as if gradients had the other sign', () => {
    const negated = { ...numbers, grads: numbers.grads.map((grad) => grad.map((value) => -value)) };
    const setup = { ...reference, isa: widestIsa };
    forVariants(entry, (options) => {
      if (options.maximize === true) return;
      const few = [1, 20, 67];
      const received = train(Class, { ...options, maximize: true }, few, numbers, setup);
      expectSameOutcome(received, train(Class, options, few, negated, setup), 'from the negated gradient');
    });
  });

  describeIsas((isa) => {
    test('carries NaN and infinity in a gradient into its own element and no other', () => {
      forVariants(entry, (options) => {
        const clean = poisoned(isa, options, new Map());
        const dirty = poisoned(isa, options, badElements);
        dirty.forEach((arrays, tensor) =>
          arrays.forEach((array, k) => {
            const expected = clean[tensor]![k]!;
            if (tensor !== 1) return expectSameBits(array, expected, `array ${k} of tensor ${tensor}`);
            if (!elementwise(entry)) return;
            const others = expected.map((value, i) => (badElements.has(i) ? array[i]! : value));
            expectSameBits(array, others, `array ${k} of the tensor, bad elements aside`);
          }),
        );
        expect(dirty[1]![0]![nanElement]).toBeNaN();
        for (const i of badElements.keys()) {
          expect(dirty[1]!.some((array) => !Number.isFinite(array[i]))).toBe(true);
        }
      });
    });
  });

  /** Nine steps of three tensors; elements of the second one's second gradient are replaced. Data, then states. */
  function poisoned(
    isa: Setup['isa'],
    options: Options,
    elements: ReadonlyMap<number, number>,
  ): Float32Array[][] {
    const params = poison.map(({ data }) => ({ data: data.slice(), grad: new Float32Array(data.length) }));
    const optimizer = withIsa(isa, () => new Class(params, options));
    for (let step = 0; step < poisonSteps; ++step) {
      params.forEach(({ grad }, i) => grad.set(poison[i]!.grads[step]!));
      if (step === 1) for (const [i, value] of elements) params[1]!.grad[i] = value;
      optimizer.step();
    }
    return params.map((param) => {
      const states = Object.values(optimizer.state(param)).filter((state) => typeof state !== 'number');
      return [param.data, ...(states as Float32Array[])];
    });
  }

  test('does the same to one huge tensor among a thousand tiny ones as to each alone', () => {
    const few = Array.from({ length: 1000 }, (_, i) => i % 9);
    for (const options of [{}, { weightDecay: 0.1, maximize: true }]) {
      const alone = train(Class, options, [200_003], huge, reference);
      const tiny = train(Class, options, few, huge, reference);
      const expected = {
        data: [...tiny.data.slice(0, 500), ...alone.data, ...tiny.data.slice(500)],
        states: [...tiny.states.slice(0, 500), ...alone.states, ...tiny.states.slice(500)],
      };
      const order = expected.data.map(({ length }) => length);
      for (const threads of [1, 2, 5]) {
        const together = train(Class, options, order, huge, { ...reference, isa: widestIsa, threads });
        expectSameOutcome(together, expected, `with ${threads} threads`);
      }
    }
  });

  test('computes with the learning rate of the step, not of the one before', () => {
    const run = (rates: readonly number[]) => {
      const param = { data: values(9, 1), grad: values(9, 2) };
      const optimizer = new Class([param]);
      for (const lr of rates) {
        setOptions(optimizer, { lr });
        optimizer.step();
      }
      return param.data;
    };
    expect(run([testLr, testLr / 2])).not.toEqual(run([testLr, testLr]));
    expect(run([testLr / 2, testLr])).not.toEqual(run([testLr, testLr]));
  });
});

describe('a learning rate of 0', () => {
  const names = ['SGD', 'Momentum', 'NAG', 'Adam', 'AMSGrad'];
  test.each(registered.filter(({ name }) => names.includes(name)))(
    'moves nothing of $name but its state',
    (entry) => {
      const param = { data: values(1000, 1), grad: values(1000, 2) };
      const before = param.data.slice();
      const optimizer = new entry.Class([param], { lr: 0, weightDecay: 0 } as object);
      for (let step = 0; step < 3; ++step) optimizer.step();
      expectSameBits(param.data, before, 'data');
      expect(optimizer.state(param).step).toBe(3);
      const { momentumBuffer, expAvg } = optimizer.state(param) as Record<string, Float32Array | undefined>;
      if (entry.name !== 'SGD') expect((momentumBuffer ?? expAvg)!.some((value) => value !== 0)).toBe(true);
    },
  );
});

describe('an infinite parameter', () => {
  // Where norms are taken, an infinite one reaches every element.
  test.each(registered.filter((entry) => elementwise(entry) || entry.name === 'StableAdamW'))(
    'of $name stays as it is where no weight decay is coupled to it',
    (entry) => {
      const param = { data: Float32Array.of(-Infinity, 1), grad: Float32Array.of(0, 0.5) };
      const optimizer = new entry.Class([param], { weightDecay: 0 } as object);
      for (let step = 0; step < 3; ++step) optimizer.step();
      expect(param.data[0]).toBe(-Infinity);
      expect(param.data[1]).toBeLessThan(1);
      for (const [name, state] of Object.entries(optimizer.state(param))) {
        if (typeof state !== 'number')
          expect((state as Float32Array)[0]).toBe(name === 'slow' ? -Infinity : 0);
      }
    },
  );
});
