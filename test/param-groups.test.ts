import { inspect } from 'node:util';
import {
  AdamW,
  groupsByName,
  noDecay,
  ParamGroupList,
  SGD,
  type Parameter,
  type ParamRules,
  type Role,
} from 'fused-optim';

function param(name: string, shape: readonly number[], role?: Role): Parameter {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  return { name, shape, data, role };
}

const gpt = (): Parameter[] => [
  param('transformer.wte.weight', [50, 8]),
  param('transformer.wpe.weight', [16, 8]),
  param('transformer.h.0.ln_1.weight', [8]),
  param('transformer.h.0.attn.c_attn.weight', [24, 8]),
  param('transformer.h.0.attn.c_attn.bias', [24]),
  param('transformer.h.0.mlp.c_fc.weight', [32, 8]),
  param('lm_head.weight', [50, 8]),
];

/** What each group holds: its names without the model's own, and its options. */
const summary = (groups: Iterable<{ params: Iterable<Parameter> }>): unknown[] =>
  [...groups].map(({ params, ...options }) => [
    [...params].map(({ name }) => name?.replace(/^transformer\.|\.weight$/g, '')),
    options,
  ]);

describe('noDecay', () => {
  test('separates matrices from biases, gains and embeddings', () => {
    expect(summary(noDecay(gpt()))).toEqual([
      [['h.0.attn.c_attn', 'h.0.mlp.c_fc', 'lm_head'], {}],
      [['wte', 'wpe', 'h.0.ln_1', 'h.0.attn.c_attn.bias'], { weightDecay: 0 }],
    ]);
  });

  test('takes the decay of the others, keeps embeddings decayed, and takes more patterns', () => {
    const options = { weightDecay: 0.1, embeddings: false, also: ['lm_*', /c_fc/] };
    expect(summary(noDecay(gpt(), options))).toEqual([
      [['wte', 'wpe', 'h.0.attn.c_attn'], { weightDecay: 0.1 }],
      [['h.0.ln_1', 'h.0.attn.c_attn.bias', 'h.0.mlp.c_fc', 'lm_head'], { weightDecay: 0 }],
    ]);
  });

  test('goes by role before it goes by name, and by shape before both', () => {
    const free = (name: string, shape: number[], role?: Role, options = {}): boolean =>
      'weightDecay' in noDecay([param(name, shape, role)], options)[0]!;
    expect(free('wte', [4, 2], 'hidden')).toBe(false);
    expect(free('wte', [4, 2], 'head')).toBe(false);
    expect(free('matrix', [4, 2], 'embedding')).toBe(true);
    expect(free('matrix', [4, 2], 'embedding', { embeddings: false })).toBe(false);
    expect(free('matrix', [4, 2], 'vector')).toBe(true);
    expect(free('matrix', [4], 'hidden')).toBe(true);
    expect(free('matrix', [])).toBe(true);
    expect(free('layer_norm', [4, 2])).toBe(true);
    expect(free('layer_norm', [4, 2], 'hidden')).toBe(false);
    expect(free('conv', [4, 2, 3, 3])).toBe(false);
  });

  test('takes parameters without names and shapes', () => {
    const groups = noDecay([{ data: new Float32Array(4) }, { data: new Float32Array(4), shape: [2, 2] }]);
    expect(groups.map(({ params }) => params.length)).toEqual([1, 1]);
    expect(groups[0]!.params[0]!.shape).toEqual([2, 2]);
  });

  test('leaves an empty group out', () => {
    expect(summary(noDecay([param('a', [2, 2])]))).toEqual([[['a'], {}]]);
    expect(summary(noDecay([param('a', [2])]))).toEqual([[['a'], { weightDecay: 0 }]]);
  });

  test('gives groups that an optimizer takes, each parameter once', () => {
    const params = gpt();
    const optimizer = new AdamW(noDecay(params, { weightDecay: 0.25 }), { lr: 0.5 });
    expect(optimizer.paramGroups.map(({ weightDecay, lr }) => [weightDecay, lr])).toEqual([
      [0.25, 0.5],
      [0, 0.5],
    ]);
    const held = optimizer.paramGroups.flatMap((group) => group.params);
    expect(new Set(held)).toEqual(new Set(params));
    expect(held).toHaveLength(params.length);
    // What decay does: a step with gradients of zero shrinks the one and leaves the other.
    for (const each of params) {
      (each.data as Float32Array).fill(1);
      each.grad = new Float32Array(each.data.length);
    }
    optimizer.step();
    expect([3, 0].map((i) => (params[i]!.data as Float32Array)[0])).toEqual([0.875, 1]);
    optimizer.dispose();
  });
});

describe('groupsByName', () => {
  test('gives every parameter to the first rule that matches, the others to the rest', () => {
    const groups = groupsByName(
      gpt(),
      [
        ['*.h.0.*.weight', { lr: 0.1 }],
        [/^transformer\.w[tp]e/, { lr: 0.2 }],
        [({ shape }) => shape!.length === 1, { weightDecay: 0 }],
      ],
      { rest: { lr: 0.3 } },
    );
    expect(summary(groups)).toEqual([
      [['h.0.ln_1', 'h.0.attn.c_attn', 'h.0.mlp.c_fc'], { lr: 0.1 }],
      [['wte', 'wpe'], { lr: 0.2 }],
      [['h.0.attn.c_attn.bias'], { weightDecay: 0 }],
      [['lm_head'], { lr: 0.3 }],
    ]);
    const optimizer = new SGD(groups, { lr: 1 });
    expect(optimizer.paramGroups.map(({ lr }) => lr)).toEqual([0.1, 0.2, 1, 0.3]);
    optimizer.dispose();
  });

  test('takes an object of rules, and leaves the rest to the optimizer', () => {
    const groups = groupsByName(gpt(), { 'lm_head.weight': { lr: 1 }, '*bias': { weightDecay: 0 } });
    expect(summary(groups).map((group) => (group as unknown[])[1])).toEqual([
      { lr: 1 },
      { weightDecay: 0 },
      {},
    ]);
  });

  test('reads * and ? in a name, and everything else as it is written', () => {
    const names = ['a.b', 'axb', 'a.bc', 'a+b', 'a(b', 'a\nb'];
    const matched = (pattern: string | RegExp): (string | undefined)[] =>
      groupsByName(
        names.map((name) => param(name, [1])),
        [[pattern, { lr: 1 }]],
        { allowUnmatched: true },
      )
        .filter((group) => group.lr === 1)
        .flatMap(({ params }) => params.map(({ name }) => name));
    expect(matched('a.b')).toEqual(['a.b']);
    expect(matched('a?b')).toEqual(['a.b', 'axb', 'a+b', 'a(b', 'a\nb']);
    expect(matched('a.b*')).toEqual(['a.b', 'a.bc']);
    expect(matched('*')).toEqual(names);
    expect(matched('a+b')).toEqual(['a+b']);
    expect(matched('a(b')).toEqual(['a(b']);
    expect(matched('b')).toEqual([]);
    expect(matched(/b/g)).toEqual(names);
    expect(matched(/^A.B$/iy)).toEqual(['a.b', 'axb', 'a+b', 'a(b']);
  });

  test('a rule without parameters is an error that names it', () => {
    expect(() => groupsByName(gpt(), { '*.biass': { lr: 1 } })).toThrow(
      new RangeError(
        'Expected rule "*.biass" of groupsByName to get at least one parameter but it matches none.',
      ),
    );
    const twice: ParamRules<{ lr: number }> = [
      [/bias/, { lr: 1 }],
      [/attn.bias|c_attn\.bias/, { lr: 2 }],
    ];
    expect(() => groupsByName(gpt(), twice)).toThrow(
      new RangeError(
        'Expected rule /attn.bias|c_attn\\.bias/ of groupsByName to get at least one parameter but earlier rules took all that it matches.',
      ),
    );
    const small = (): boolean => false;
    expect(() => groupsByName(gpt(), [[small, { lr: 1 }]])).toThrow(/Expected rule small of/);
    expect(groupsByName(gpt(), twice, { allowUnmatched: true })).toHaveLength(2);
    expect(() => noDecay(gpt(), { also: ['lmhead'] })).toThrow(
      new RangeError(
        'Expected "lmhead" in also of noDecay to get at least one parameter but it matches none.',
      ),
    );
  });

  test('matches parameters without a name by functions only', () => {
    const params = [{ data: new Float32Array(1) }];
    expect(() => groupsByName(params, { '*': { lr: 1 } })).toThrow(/matches none/);
    expect(groupsByName(params, [[() => true, { lr: 1 }]])[0]!.lr).toBe(1);
  });
});

describe('the table', () => {
  const expected = [
    'group     options          parameters  elements  names',
    'decay     weightDecay 0.1           3       848  transformer.h.0.attn.c_attn.weight, transformer.h.0.mlp.c_fc.weight, lm_head.weight',
    'no decay  weightDecay 0             4       560  transformer.wte.weight, transformer.wpe.weight, transformer.h.0.ln_1.weight, …',
  ].join('\n');

  test('is what printing shows', () => {
    const groups = noDecay(gpt(), { weightDecay: 0.1 });
    expect(String(groups)).toBe(expected);
    expect(inspect(groups)).toBe(expected);
    expect(inspect({ groups }).replaceAll('\n  ', '\n')).toContain('no decay  weightDecay 0');
  });

  test('shows rules, other options, separators of thousands, and the names an optimizer gives', () => {
    const big = { data: new Float32Array(0), shape: [50257, 768] };
    const groups = groupsByName(
      [{ data: new Float32Array(2) }, big, param('named', [1])],
      [[({ shape }) => shape?.length === 2, { betas: [0.9, 0.95], lr: undefined }]],
    );
    expect(String(groups)).toBe(
      [
        'group       options              parameters    elements  names',
        'a function  betas [ 0.9, 0.95 ]           1  38,597,376  param.0',
        'rest        -                             2           3  param.1, named',
      ].join('\n'),
    );
  });

  test('adds nothing to the groups, and lets what is made of them print as usual', () => {
    const groups = noDecay(gpt());
    expect(groups).toBeInstanceOf(ParamGroupList);
    expect(Array.isArray(groups)).toBe(true);
    expect(Object.keys(groups)).toEqual(['0', '1']);
    expect(groups.map((group) => Reflect.ownKeys(group))).toEqual([['params'], ['params', 'weightDecay']]);
    expect(inspect(groups.map(({ params }) => params.length))).toBe('[ 3, 4 ]');
  });

  test('shows a group added by hand by its place', () => {
    const groups = noDecay([param('a', [2, 2])]);
    groups.push({ params: [param('b', [2])], weightDecay: 0.5 });
    expect(String(groups).split('\n')[2]).toBe('group 1  weightDecay 0.5           1         2  b');
  });
});

describe('refuses', () => {
  const one = [param('a', [2])];
  test.each([null, 3, 'params', new Float32Array(2), param('a', [2])])('params %p', (params) => {
    expect(() => noDecay(params as never)).toThrow(/^Expected params of noDecay to be an iterable/);
    expect(() => groupsByName(params as never, {})).toThrow(/^Expected params of groupsByName to be an/);
  });

  test('no parameters, and what is none', () => {
    expect(() => noDecay([])).toThrow(RangeError);
    expect(() => groupsByName([], {})).toThrow(RangeError);
    expect(() => noDecay([{ params: one }] as never)).toThrow(
      new TypeError(
        'Expected entry 0 of params of noDecay to be a parameter with data but received an object.',
      ),
    );
  });

  test.each([
    { weightDecay: -1 },
    { weightDecay: NaN },
    { embeddings: 1 },
    { also: 'x' },
    { also: [3] },
    { Also: [] },
  ])('options %p of noDecay', (options) => {
    expect(() => noDecay(one, options as never)).toThrow(/noDecay/);
  });

  test.each([
    null,
    'x',
    ['a'],
    [['a']],
    [['a', {}, {}]],
    [['', {}]],
    [[3, {}]],
    { a: 1 },
    { a: { params: one } },
  ])('rules %p', (rules) => {
    expect(() => groupsByName(one, rules as never)).toThrow(TypeError);
  });

  test.each([{ rest: 1 }, { rest: { params: one } }, { allowUnmatched: 'x' }, { Rest: {} }, null])(
    'options %p of groupsByName',
    (options) => {
      expect(() => groupsByName(one, { a: {} }, options as never)).toThrow(TypeError);
    },
  );
});
