import { Ranger } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(Ranger, 'ranger', 8);

test('Ranger refuses to centralize a layout whose rows are not outputs', () => {
  const param = { name: 'w', shape: [2, 3], layout: 'in-out' as const, data: new Float32Array(6) };
  expect(() => new Ranger([param])).toThrow(
    new TypeError(
      'Expected layout of "w" to be "out-in" for gradientCentralization "all" of Ranger but received "in-out".',
    ),
  );
  expect(() => new Ranger([param], { gradientCentralization: 'none' })).not.toThrow();
});
