/** Functions of two numbers that optimizers are tried on, with their gradients. */

export type Point = readonly [x: number, y: number];

export interface Landscape {
  readonly name: string;
  readonly title: string;
  readonly formula: string;
  /** What a picture shows of it. */
  readonly x: Point;
  readonly y: Point;
  readonly start: Point;
  /** All global minima, where the value is 0. */
  readonly minima: readonly Point[];
  /** Contours at equal steps of the logarithm: of functions whose values span many powers of ten. */
  readonly logarithmic: boolean;
  /** Standard deviation of the normal noise on each component of the gradient. */
  readonly noise?: number;
  value(x: number, y: number): number;
  gradient(x: number, y: number): Point;
}

/** The ravine lies across the axes: what scales coordinates one by one cannot straighten it. */
const [cos, sin] = [Math.cos(0.5), Math.sin(0.5)];
const [along, across] = [0.05, 5];

const all: readonly Landscape[] = [
  {
    name: 'rosenbrock',
    title: 'Rosenbrock',
    formula: '(1 − x)² + 100 (y − x²)²',
    x: [-2, 2],
    y: [-1, 3],
    start: [-1.5, 2.4],
    minima: [[1, 1]],
    logarithmic: true,
    value: (x, y) => (1 - x) ** 2 + 100 * (y - x * x) ** 2,
    gradient: (x, y) => [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)],
  },
  {
    name: 'rastrigin',
    title: 'Rastrigin',
    formula: '20 + x² + y² − 10 cos 2πx − 10 cos 2πy',
    x: [-2.6, 2.6],
    y: [-2.6, 2.6],
    start: [-2.3, 1.7],
    minima: [[0, 0]],
    logarithmic: false,
    value: (x, y) => 20 + x * x + y * y - 10 * (Math.cos(2 * Math.PI * x) + Math.cos(2 * Math.PI * y)),
    gradient: (x, y) => [
      2 * x + 20 * Math.PI * Math.sin(2 * Math.PI * x),
      2 * y + 20 * Math.PI * Math.sin(2 * Math.PI * y),
    ],
  },
  {
    name: 'beale',
    title: 'Beale',
    formula: '(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²',
    x: [-0.5, 4.5],
    y: [-2.5, 2.5],
    start: [0.7, 1.4],
    minima: [[3, 0.5]],
    logarithmic: true,
    value: (x, y) => (1.5 - x + x * y) ** 2 + (2.25 - x + x * y ** 2) ** 2 + (2.625 - x + x * y ** 3) ** 2,
    gradient(x, y) {
      const [a, b, c] = [1.5 - x + x * y, 2.25 - x + x * y ** 2, 2.625 - x + x * y ** 3];
      return [
        2 * (a * (y - 1) + b * (y ** 2 - 1) + c * (y ** 3 - 1)),
        2 * x * (a + 2 * b * y + 3 * c * y ** 2),
      ];
    },
  },
  {
    name: 'himmelblau',
    title: 'Himmelblau',
    formula: '(x² + y − 11)² + (x + y² − 7)²',
    x: [-5.5, 5.5],
    y: [-5.5, 5.5],
    start: [0.5, -0.5],
    minima: [
      [3, 2],
      [-2.805118, 3.131312],
      [-3.77931, -3.283186],
      [3.584428, -1.848126],
    ],
    logarithmic: true,
    value: (x, y) => (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
    gradient(x, y) {
      const [a, b] = [x * x + y - 11, x + y * y - 7];
      return [4 * x * a + 2 * b, 2 * a + 4 * y * b];
    },
  },
  {
    name: 'ravine',
    title: 'Noisy ravine',
    formula: '0.025 u² + 2.5 v², (u, v) turned by half a radian; gradients with noise of deviation 1',
    x: [-6, 6],
    y: [-6, 6],
    start: [-5, -0.5],
    minima: [[0, 0]],
    logarithmic: true,
    noise: 1,
    value(x, y) {
      const [u, v] = [cos * x + sin * y, cos * y - sin * x];
      return (along * u * u + across * v * v) / 2;
    },
    gradient(x, y) {
      const [u, v] = [along * (cos * x + sin * y), across * (cos * y - sin * x)];
      return [cos * u - sin * v, sin * u + cos * v];
    },
  },
];

export const landscapes: ReadonlyMap<string, Landscape> = new Map(all.map((each) => [each.name, each]));
