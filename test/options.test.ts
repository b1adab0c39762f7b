import { Adam, AdamW, RMSprop, SGD } from 'fused-optim';
import { withEnv } from './helpers/isas';
import { values } from './helpers/random';
import { optionsOf, registered, setOptions, type Options } from './helpers/registry';
import { expectUnchanged, snapshot } from './helpers/unchanged';

const params = () => [{ data: values(6, 1), grad: values(6, 2) }];

/** Options that may be negative; all other numbers may not. */
const signed = ['dampening'];
const notNumbers = [null, '0.1', '', true, [0.1], {}, 1n, () => 0.1];

type Bad = readonly [value: unknown, error: typeof TypeError | typeof RangeError];

/** What an option whose default is `value` may not be. */
function badValues(name: string, value: unknown): readonly Bad[] {
  if (typeof value === 'boolean') {
    return [null, 0, 1, NaN, 'true', '', [], {}].map((bad) => [bad, TypeError]);
  }
  if (typeof value === 'string') {
    return [null, 0, 1, NaN, 'zzzzzzzzzzzz', '', [], {}, [value]].map((bad) => [bad, TypeError]);
  }
  if (value === null) {
    const bad: Bad[] = [NaN, Infinity, -Infinity, -1, 0].map((number) => [number, RangeError]);
    return [...bad, ...notNumbers.slice(1).map((other): Bad => [other, TypeError])];
  }
  const numbers = [NaN, Infinity, -Infinity, ...(signed.includes(name) ? [] : [-1, -1e-300])];
  if (!Array.isArray(value)) {
    return [
      ...numbers.map((bad): Bad => [bad, RangeError]),
      ...notNumbers.map((bad): Bad => [bad, TypeError]),
    ];
  }
  const pairs = [...numbers, 1, 1.5].flatMap((bad): Bad[] => [
    [[bad, 0.5], RangeError],
    [[0.5, bad], RangeError],
  ]);
  const shapes = [
    null,
    0.9,
    [],
    [0.9],
    [0.9, 0.99, 0.999],
    { 0: 0.9, 1: 0.99 },
    '0.9,0.99',
    Float64Array.of(0.9, 0.99),
  ];
  return [
    ...pairs,
    ...shapes.map((bad): Bad => [bad, TypeError]),
    ...notNumbers.map((bad): Bad => [[0.9, bad], TypeError]),
  ];
}

const notAnOption = /^Unknown option/;

/** As `expect(action).toThrow()` with a class and a message, many times faster. */
function expectError(action: () => unknown, error: Bad[1], message: RegExp): void {
  let received: unknown = 'nothing';
  try {
    action();
  } catch (thrown) {
    received = thrown;
  }
  if (received instanceof error && message.test(received.message)) return;
  throw new Error(
    `Expected a ${error.name} like ${String(message)} but this was thrown: ${String(received)}`,
  );
}

describe.each(registered)('$name', ({ name, Class, defaults }) => {
  const table = Object.entries({ ...defaults }).flatMap(([option, value]) =>
    badValues(option, value).map(([bad, error]) => ({ option, bad, error })),
  );
  const sentence = (option: string): RegExp =>
    new RegExp(`^Expected ${option}(\\[\\d\\])? of ${name}(, group \\d)? to be .* but received .+\\.$`);

  test('has options that are all checked', () => {
    expect(Object.keys(defaults)).toEqual(expect.arrayContaining(['lr', 'maximize']));
    expect(table.length).toBeGreaterThan(20);
  });

  test('refuses bad values when it is made, for all parameters or for a group', () => {
    for (const { option, bad, error } of table) {
      const given = { [option]: bad };
      for (const make of [
        () => new Class(params(), given),
        () => new Class([{ params: params(), ...given }]),
        () => new Class([{ params: params() }, { params: params(), ...given }]),
      ]) {
        expectError(make, error, sentence(option));
      }
    }
  });

  test('refuses bad values in a live group at the next step, which changes nothing', () => {
    const [param] = params();
    const optimizer = new Class([param!]);
    optimizer.step();
    const before = snapshot(optimizer, [param!]);
    const good = optionsOf(optimizer);
    for (const { option, bad, error } of table) {
      setOptions(optimizer, { [option]: bad });
      expectError(() => optimizer.step(), error, sentence(option));
      setOptions(optimizer, good);
    }
    expectUnchanged(optimizer, before);
    expect(optimizer.step()).toEqual({ applied: true, step: 2 });
  });

  test('refuses a live option that is undefined or gone', () => {
    for (const option of Object.keys(defaults)) {
      if (option === 'maxLr') continue; // undefined: the current lr
      const optimizer = new Class(params());
      setOptions(optimizer, { [option]: undefined });
      expect(() => optimizer.step()).toThrow(sentence(option));
      Reflect.deleteProperty(optimizer.paramGroups[0]!, option);
      expect(() => optimizer.step()).toThrow(sentence(option));
    }
  });

  test('takes undefined for the default', () => {
    const undefineds = Object.fromEntries(Object.keys(defaults).map((option) => [option, undefined]));
    expect(optionsOf(new Class(params(), undefineds))).toEqual(defaults);
  });

  test('does not know options it does not have', () => {
    const unknown = new RegExp(`^Unknown option "zoom" for ${name}: its options are .*lr`);
    expectError(() => new Class(params(), { zoom: 1 } as object), TypeError, unknown);
    const group = { params: params(), zoom: 1 };
    expectError(() => new Class([group]), TypeError, unknown);
  });
});

describe('a misspelled option', () => {
  const adamw = (options: object) => () => new AdamW(params(), options);
  test.each([
    ['learningRate', 'lr'],
    ['learning_rate', 'lr'],
    ['LR', 'lr'],
    ['epsilon', 'eps'],
    ['epss', 'eps'],
    ['wd', 'weightDecay'],
    ['weight_decay', 'weightDecay'],
    ['weightdecay', 'weightDecay'],
    ['wieghtDecay', 'weightDecay'],
    ['beta1', 'betas'],
    ['beta', 'betas'],
    ['maximise', 'maximize'],
    ['max_lr', 'maxLr'],
    ['numThreads', 'threads'],
  ])('%s: did you mean %s?', (wrong, right) => {
    expect(adamw({ [wrong]: 1 })).toThrow(
      new TypeError(`Unknown option "${wrong}" for AdamW: did you mean "${right}"?`),
    );
  });

  test('is compared with the options this optimizer has', () => {
    expect(() => new RMSprop(params(), { rho: 0.9 } as object)).toThrow(/did you mean "alpha"\?$/);
    expect(() => new SGD(params(), { epsilon: 1 } as object)).toThrow(/its options are lr, weightDecay/);
    expect(adamw({ constructor: 1 })).toThrow(notAnOption);
    expect(adamw({ ['__proto__']: 1, lr: 1 })).toThrow(notAnOption);
    expect(adamw({ params: [] })).toThrow(notAnOption);
  });
});

describe('options that are no object', () => {
  test.each([
    [null, 'null'],
    [0.1, '0.1 of type number'],
    ['lr', '"lr"'],
    [new Float32Array(1), 'a Float32Array'],
  ])('%p', (options, received) => {
    expect(() => new Adam(params(), options as object)).toThrow(
      new TypeError(`Expected options of Adam to be an object but received ${received}.`),
    );
  });
});

describe('threads', () => {
  const make = (options: Options) => () => new Adam(params(), options);

  test.each([0, -1, 1.5, 1025, NaN, Infinity])('may not be %p', (threads) => {
    expect(make({ threads })).toThrow(
      new RangeError(`Expected threads to be an integer in [1, 1024] but received ${threads}.`),
    );
  });

  test.each([null, '2', true])('may not be %p', (threads) => {
    expect(make({ threads })).toThrow(TypeError);
  });

  test.each(['0', '-1', 'two', '1.5', '1025', ' ', 'NaN'])('FUSED_OPTIM_THREADS may not be "%s"', (value) => {
    withEnv({ FUSED_OPTIM_THREADS: value }, () => {
      expect(make({})).toThrow(
        new RangeError(`Expected FUSED_OPTIM_THREADS to be an integer in [1, 1024] but received "${value}".`),
      );
      expect(make({ threads: 2 })).not.toThrow(); // the option counts first
    });
  });
});

describe('FUSED_OPTIM_ISA', () => {
  test.each(['sse2', 'AVX2', 'avx2 ', 'avx', 'constructor'])('may not be "%s"', (value) => {
    withEnv({ FUSED_OPTIM_ISA: value }, () => {
      const make = () => new Adam(params());
      expect(make).toThrow(RangeError);
      expect(make).toThrow(
        /^Expected FUSED_OPTIM_ISA to be one of scalar.* but received ".*": this build has no such kernel set\.$/,
      );
    });
  });
});
