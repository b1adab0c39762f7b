/** Optimizers on a function of two numbers: a path at a given learning rate, and the search for a good one. */
import { optimizers } from '../optimizers';
import type { Landscape, Point } from './functions';

/** Normal numbers that depend on the seed alone (mulberry32, and Box and Muller's transform). */
function* normals(seed: number): Generator<number, never> {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  for (;;) {
    const [radius, angle] = [Math.sqrt(-2 * Math.log(uniform())), 2 * Math.PI * uniform()];
    yield radius * Math.cos(angle);
    yield radius * Math.sin(angle);
  }
}

export interface Descent {
  readonly optimizer: string;
  readonly lr: number;
  /** From the start on, a point a step; shorter when numbers became infinite. */
  readonly path: readonly Point[];
  /** The function without noise, averaged over the last tenth of the steps: its last value alone may be luck. */
  readonly score: number;
}

export interface Settings {
  readonly steps: number;
  readonly seed: number;
}

/** Two numbers make a matrix of one row: what Muon takes for hidden; a vector to all others. */
const shapes: Readonly<Record<string, object>> = { Muon: { shape: [1, 2], role: 'hidden' } };

export function descend(
  landscape: Landscape,
  optimizer: string,
  lr: number,
  { steps, seed }: Settings,
): Descent {
  const data = Float32Array.from(landscape.start);
  const grad = new Float32Array(2);
  const made = optimizers.get(optimizer)!([{ data, grad, ...shapes[optimizer] }], {
    lr,
    weightDecay: 0,
    threads: 1,
  });
  const noise = normals(seed);
  const path: Point[] = [landscape.start];
  let [sum, count] = [0, 0];
  try {
    while (path.length <= steps) {
      const [x, y] = path.at(-1)!;
      grad.set(landscape.gradient(x, y));
      if (landscape.noise !== undefined)
        for (let i = 0; i < 2; ++i) grad[i]! += landscape.noise * noise.next().value;
      made.step();
      const [nextX, nextY] = [data[0]!, data[1]!];
      if (!Number.isFinite(nextX) || !Number.isFinite(nextY)) return { optimizer, lr, path, score: Infinity };
      path.push([nextX, nextY]);
      if (path.length > steps - steps / 10) {
        sum += landscape.value(nextX, nextY);
        ++count;
      }
    }
  } finally {
    made.dispose();
  }
  return { optimizer, lr, path, score: sum / count };
}

/** Five values a decade, from 0.0001 to 10. */
export const rates: readonly number[] = [-4, -3, -2, -1, 0]
  .flatMap((decade) => [1, 1.6, 2.5, 4, 6.3].map((factor) => Number(`${factor}e${decade}`)))
  .concat(10);

/** Whether a path stays in the picture, made larger by a factor. */
function stays({ x, y }: Landscape, points: readonly Point[], factor: number): boolean {
  const within = (value: number, [low, high]: Point): boolean =>
    Math.abs(value - (low + high) / 2) <= (factor * (high - low)) / 2;
  return points.every(([px, py]) => within(px, x) && within(py, y));
}

/**
 * The path of the rate with the best score, of those that stay in the picture or, where none does, near it. It is the
 * best of a fixed list, so the same in every run.
 */
export function descendTuned(landscape: Landscape, optimizer: string, settings: Settings): Descent {
  const tried = rates.map((lr) => descend(landscape, optimizer, lr, settings));
  const fit = [1, 2, Infinity].map((factor) => tried.filter(({ path }) => stays(landscape, path, factor)));
  return fit
    .find(({ length }) => length > 0)!
    .reduce((best, each) => (each.score < best.score ? each : best));
}
