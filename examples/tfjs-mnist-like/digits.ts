/** Handwritten-looking digits, drawn by code: strokes, moved and bent at random, on 28 × 28 pixels as those of MNIST. */
import { Random } from '../gpt/random';

export const SIDE = 28;
export const PIXELS = SIDE * SIDE;
export const CLASSES = 10;

type Point = readonly [x: number, y: number];
type Stroke = readonly Point[];

/** Points on an arc, in a square with y downwards; angles in turns, from the right, clockwise. */
function arc(x: number, y: number, rx: number, ry: number, from: number, to: number): Stroke {
  const pieces = 12;
  return Array.from({ length: pieces + 1 }, (_, i) => {
    const angle = 2 * Math.PI * (from + ((to - from) * i) / pieces);
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)];
  });
}

const STROKES: readonly (readonly Stroke[])[] = [
  [arc(0.5, 0.5, 0.26, 0.38, 0, 1)],
  [
    [
      [0.36, 0.28],
      [0.54, 0.12],
      [0.54, 0.88],
    ],
  ],
  [[...arc(0.5, 0.34, 0.24, 0.22, 0.5, 1.1), [0.28, 0.87], [0.76, 0.87]]],
  [arc(0.46, 0.31, 0.24, 0.2, 0.55, 1.25), arc(0.46, 0.68, 0.27, 0.2, 0.75, 1.45)],
  [
    [
      [0.58, 0.12],
      [0.24, 0.62],
      [0.8, 0.62],
    ],
    [
      [0.62, 0.4],
      [0.62, 0.9],
    ],
  ],
  [[[0.72, 0.13], [0.36, 0.13], [0.32, 0.46], ...arc(0.48, 0.64, 0.25, 0.23, 0.7, 1.4)]],
  [[[0.64, 0.1], [0.36, 0.42], ...arc(0.5, 0.66, 0.24, 0.22, 0.5, 1.5)]],
  [
    [
      [0.26, 0.14],
      [0.76, 0.14],
      [0.44, 0.9],
    ],
  ],
  [arc(0.5, 0.3, 0.2, 0.18, 0, 1), arc(0.5, 0.68, 0.25, 0.21, 0, 1)],
  [[...arc(0.5, 0.34, 0.24, 0.22, 0, 1), [0.7, 0.5], [0.58, 0.9]]],
];

/** A random way to turn, slant, stretch and move a digit. */
function distortion(random: Random): (point: Point) => Point {
  const angle = 0.18 * random.normal();
  const slant = 0.12 * random.normal();
  const [sx, sy] = [0.85 + 0.12 * random.normal(), 0.85 + 0.08 * random.normal()];
  const [dx, dy] = [0.05 * random.normal(), 0.05 * random.normal()];
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return ([px, py]) => {
    const y = sy * (py - 0.5);
    const x = sx * (px - 0.5) + slant * y;
    return [0.5 + dx + cos * x - sin * y, 0.5 + dy + sin * x + cos * y];
  };
}

/** Distance from a point to a line between two others. */
function distance(x: number, y: number, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-9);
  const t = Math.min(1, Math.max(0, along));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

function draw(digit: number, random: Random, pixels: Float32Array): void {
  const distort = distortion(random);
  const wobble = (): number => 0.012 * random.normal();
  const strokes = STROKES[digit]!.map((stroke) =>
    stroke.map(distort).map(([x, y]): Point => [x + wobble(), y + wobble()]),
  );
  const thickness = 0.035 + 0.02 * random.uniform();
  for (let i = 0; i < PIXELS; ++i) {
    const [x, y] = [((i % SIDE) + 0.5) / SIDE, (Math.floor(i / SIDE) + 0.5) / SIDE];
    let nearest = Infinity;
    for (const stroke of strokes)
      for (let k = 1; k < stroke.length; ++k)
        nearest = Math.min(nearest, distance(x, y, stroke[k - 1]!, stroke[k]!));
    const ink = Math.min(1, Math.max(0, (thickness - nearest) * SIDE + 0.5));
    pixels[i] = Math.min(1, Math.max(0, ink + 0.08 * random.normal()));
  }
}

export interface Digits {
  readonly count: number;
  /** `count` × PIXELS numbers in [0, 1]. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** The same digits for the same seed, on every machine; every class as often as every other. */
export function drawDigits(count: number, seed: number): Digits {
  const images = new Float32Array(count * PIXELS);
  const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
  labels.forEach((digit, i) =>
    draw(digit, new Random(seed, i), images.subarray(i * PIXELS, (i + 1) * PIXELS)),
  );
  return { count, images, labels };
}

/** A digit as text, for people. */
export function picture({ images }: Digits, index: number): string {
  const shades = ' .:*#';
  const row = (y: number): string =>
    Array.from({ length: SIDE }, (_, x) => {
      const ink = images[index * PIXELS + y * SIDE + x]!;
      return shades[Math.min(shades.length - 1, Math.floor(ink * shades.length))]!;
    }).join('');
  // Letters are about twice as high as wide.
  return Array.from({ length: SIDE / 2 }, (_, i) => row(2 * i)).join('\n');
}
