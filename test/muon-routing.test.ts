import { inspect } from 'node:util';
import { Muon, type Parameter, type Role } from 'fused-optim';

const param = (name: string, shape: number[], rest: Partial<Parameter> = {}): Parameter => {
  const length = shape.reduce((a, b) => a * b, 1);
  return { name, shape, data: new Float32Array(length), grad: new Float32Array(length), ...rest };
};

const hidden = param('h.0.mlp.c_fc.weight', [8, 4]);

const cases: [Parameter, 'muon' | 'adamw', RegExp][] = [
  [param('h.0.mlp.c_proj.weight', [4, 8]), 'muon', /4 × 8 matrix/],
  [param('transformer.wte.weight', [10, 4]), 'adamw', /embedding/],
  [param('lm_head.weight', [10, 4]), 'adamw', /head/],
  [param('lm_head2.weight', [10, 4], { role: 'hidden' }), 'muon', /^role hidden$/],
  [param('h.0.attn.weight', [4, 4], { role: 'head' }), 'adamw', /^role head$/],
  [param('h.0.ln_1.weight', [4]), 'adamw', /1 axis/],
  [param('x', [4]), 'adamw', /1 axis/],
  [param('b', [4, 4]), 'muon', /4 × 4 matrix/],
  [param('y', []), 'adamw', /scalar/],
  [param('conv.weight', [6, 4, 3, 3]), 'muon', /6 × 36 matrix/],
  [param('depthwise.weight', [6, 1, 3, 3]), 'adamw', /depthwise/],
  [param('conv2d_Conv2D1/kernel', [3, 3, 4, 6], { layout: 'in-out' }), 'muon', /6 × 36 matrix/],
  [param('separable/depthwise_kernel', [3, 3, 4, 1], { layout: 'in-out' }), 'adamw', /depthwise/],
  [param('row', [1, 7]), 'adamw', /vector/],
  [param('nothing', [0, 7]), 'adamw', /empty/],
];

describe('routing', () => {
  test.each(cases.map((entry) => [`${entry[0].name} to ${entry[1]}`, ...entry] as const))(
    'sends %s',
    (_, parameter, optimizer, why) => {
      const routing = new Muon([hidden, parameter]).routing();
      expect(routing).toHaveLength(2);
      const { name, shape } = parameter;
      expect(routing.find((route) => route.name === name)).toEqual({
        name,
        shape,
        optimizer,
        why: expect.stringMatching(why) as string,
      });
    },
  );

  test('prints as a table', () => {
    const routing = new Muon([hidden, param('b', [3])]).routing();
    const expected = [
      'name                 shape   optimizer  why',
      'h.0.mlp.c_fc.weight  [8, 4]  muon       a 8 × 4 matrix',
      'b                    [3]     adamw      it has 1 axis',
    ];
    expect(String(routing).split('\n')).toEqual(expected);
    expect(inspect(routing).split('\n')).toEqual(expected);
    expect(routing.map(({ name }) => name)).toEqual(['h.0.mlp.c_fc.weight', 'b']);
  });

  test('is an error where nothing goes to Muon', () => {
    expect(() => new Muon([param('b', [3]), param('wte.weight', [4, 4])])).toThrow(
      new RangeError(
        'Expected Muon to have a hidden matrix but all 2 parameters go to AdamW: "b" (it has 1 axis), ' +
          '"wte.weight" (named as an embedding); set role: "hidden" on its matrices, or use AdamW.',
      ),
    );
  });

  test.each([
    ['one axis', param('w', [4], { role: 'hidden' }), /shape \[4\]: it has 1 axis\.$/],
    ['a depthwise convolution', param('w', [4, 1, 3, 3], { role: 'hidden' }), /depthwise convolution/],
  ])('refuses the role hidden for %s', (_, parameter, message) => {
    expect(() => new Muon([parameter])).toThrow(message);
  });
});

describe('groups of Muon', () => {
  test('are up to two for each that is given, with options of their own', () => {
    const optimizer = new Muon(
      [
        { params: [hidden, param('b0', [3])], lr: 0.05, adamw: { lr: 0.001 } },
        { params: [param('b1', [3])] },
        { params: [param('w2', [3, 3])], weightDecay: 0.1 },
      ],
      { momentum: 0.9, adamw: { betas: [0.8, 0.9], weightDecay: 0.2 } },
    );
    const groups = optimizer.paramGroups as unknown as Record<string, unknown>[];
    expect(groups.map(({ algorithm, params }) => [algorithm, (params as Parameter[])[0]!.name])).toEqual([
      ['muon', hidden.name],
      ['adamw', 'b0'],
      ['adamw', 'b1'],
      ['muon', 'w2'],
    ]);
    expect(groups[0]).toMatchObject({ lr: 0.05, momentum: 0.9, weightDecay: 0 });
    expect(groups[1]).toMatchObject({ lr: 0.001, betas: [0.8, 0.9], weightDecay: 0.2, eps: 1e-10 });
    expect(groups[2]).toMatchObject({ lr: 3e-4, betas: [0.8, 0.9] });
    expect(groups[3]).toMatchObject({ lr: 0.02, weightDecay: 0.1 });
    expect(optimizer.step()).toEqual({ applied: true, step: 1 });
  });

  test('follow schedules of their algorithm', () => {
    const optimizer = new Muon([hidden, param('b0', [3])]);
    optimizer.schedule({ lr: (step) => 0.1 / (step + 1), adamw: { lr: (step) => 0.01 / (step + 1) } });
    optimizer.step();
    optimizer.step();
    expect(optimizer.paramGroups.map(({ lr }) => lr)).toEqual([0.05, 0.005]);
  });

  test.each([
    [{ adamw: 7 }, 'Expected adamw of Muon to be an object of options but received 7 of type number.'],
    [
      { adamw: { lr: -1 } },
      'Expected lr of Muon (adamw), group 1 to be a finite number >= 0 but received -1.',
    ],
    [{ adamw: { momentum: 0.9 } }, 'Unknown option "momentum" for adamw of Muon: its options are lr, betas'],
    [{ nsSteps: 100 }, 'Expected nsSteps of Muon to be an integer in [1, 99] but received 100.'],
    [{ nsSteps: 2.5 }, 'Expected nsSteps of Muon to be an integer in [1, 99] but received 2.5.'],
    [{ nsCoefficients: 'jordn' }, 'did you mean "jordan"?'],
    [{ nsCoefficients: [1, 2] }, 'Expected nsCoefficients of Muon to be three numbers but received [1, 2].'],
    [{ nsCoefficients: [[1, 2, NaN]] }, 'Expected nsCoefficients[0] of Muon to be three finite numbers'],
    [{ nsCoefficients: [] }, 'a list of 1 to 16 triples but received 0'],
    [{ split: 3 }, 'Expected split of Muon to divide the 8 outputs of "h.0.mlp.c_fc.weight" but received 3.'],
    [{ adjustLr: 'orignal' }, 'did you mean "original"?'],
    [{ momentum: 1 }, 'Expected momentum of Muon to be a number in [0, 1) but received 1.'],
    [{ useMuon: true }, 'Unknown option "useMuon" for Muon'],
  ])('refuse %p', (options, message) => {
    expect(() => new Muon([hidden, param('b0', [3])], options as object)).toThrow(message);
  });

  test('refuse a live split that no longer divides, before anything is written', () => {
    const matrix = param('w', [8, 4]);
    (matrix.grad as Float32Array).fill(1);
    const optimizer = new Muon([matrix]);
    (optimizer.paramGroups[0] as { split: number }).split = 5;
    expect(() => optimizer.step()).toThrow('Expected split of Muon to divide the 8 outputs of "w"');
    expect([...(matrix.data as Float32Array)]).toEqual(Array<number>(32).fill(0));
    (optimizer.paramGroups[0] as { split: number }).split = 2;
    expect(optimizer.step().applied).toBe(true);
  });

  const roles: readonly Role[] = ['hidden', 'embedding', 'head', 'vector'];
  test.each(roles)('give a matrix of role %s to one of them', (role) => {
    const optimizer = new Muon([hidden, param('m', [4, 4], { role })]);
    expect(optimizer.routing()[role === 'hidden' ? 1 : 1]).toMatchObject({
      optimizer: role === 'hidden' ? 'muon' : 'adamw',
    });
  });
});
