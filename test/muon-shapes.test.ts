/** What docs/groups.md says of tensors that are not one matrix. */
import { Muon, type MuonOptions, type Parameter } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { values } from './helpers/random';

interface Tensor extends Parameter {
  data: Float32Array;
  grad: Float32Array;
}

const tensor = (name: string, shape: readonly number[], seed = 0): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return { name, shape, data: values(size, seed), grad: values(size, seed + 1) };
};

test('stacked experts with split are matrices of their own', () => {
  const [experts, out, inputs] = [3, 12, 8];
  const size = out * inputs;
  const stacked = tensor('experts', [experts * out, inputs]);
  const apart = Array.from({ length: experts }, (_, e): Tensor => {
    const part = (array: Float32Array): Float32Array => array.slice(e * size, (e + 1) * size);
    return {
      name: `expert.${e}`,
      shape: [out, inputs],
      data: part(stacked.data),
      grad: part(stacked.grad),
    };
  });
  new Muon([stacked], { split: experts, weightDecay: 0.1 }).step();
  new Muon(apart, { weightDecay: 0.1 }).step();
  apart.forEach(({ data, name }, e) =>
    expectSameBits(stacked.data.slice(e * size, (e + 1) * size), data, name!),
  );
});

test.each<NonNullable<MuonOptions['adjustLr']>>(['original', 'matchRmsAdamw', 'rmsToRms'])(
  'a convolution is the matrix it is flattened to, scale included',
  (adjustLr) => {
    const [conv, matrix] = [tensor('conv', [64, 4, 3, 1]), tensor('matrix', [64, 12])];
    for (const param of [conv, matrix]) new Muon([param], { adjustLr }).step();
    expectSameBits(conv.data, matrix.data, adjustLr);
  },
);
