import { AdamW } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(AdamW, 'adamw', 9);

describe('AdamW', () => {
  // Gradients of zero: only the decay moves it.
  const still = () => ({ data: Float32Array.of(1), grad: Float32Array.of(0) });

  test('decays by lr times weightDecay, 0.01 by default', () => {
    const param = still();
    new AdamW([param], { lr: 0.5 }).step();
    expect(param.data[0]).toBe(Math.fround(1 - 0.5 * 0.01));
  });

  test('decays by the share of maxLr with decoupleLr; maxLr is the first lr of its group', () => {
    const [a, b] = [still(), still()];
    const groups = [{ params: [a] }, { params: [b], lr: 2 }];
    const optimizer = new AdamW(groups, { lr: 0.5, weightDecay: 0.25, decoupleLr: true });
    expect(optimizer.paramGroups.map(({ maxLr }) => maxLr)).toEqual([0.5, 2]);
    for (const group of optimizer.paramGroups) group.lr = 0.5;
    optimizer.step();
    expect([a.data[0], b.data[0]]).toEqual([0.75, 1 - 0.25 / 4]);
  });

  test('does not decay what was never going to move', () => {
    const param = still();
    new AdamW([param], { lr: 0, weightDecay: 0.25, decoupleLr: true }).step();
    expect(param.data[0]).toBe(1);
  });
});
