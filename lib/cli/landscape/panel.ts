/** One function drawn from above: shaded contours, the minima, and the paths that optimizers took. */
import { element, FAINT, INK, line, PATH_SCALE, pathData, text } from '../picture/svg';
import type { Landscape, Point } from './functions';

const LOW = [112, 150, 190] as const;
const HIGH = [246, 249, 252] as const;
/** Shades of a picture, and of one among many. */
export const LEVELS = { large: 12, small: 8 } as const;
/** Below this the logarithm has no more to show: a minimum would take all the levels. */
const LEAST = 1e-2;

function shade(share: number): string {
  return `rgb(${LOW.map((low, i) => Math.round(low + (HIGH[i]! - low) * share)).join(',')})`;
}

const scaled = ({ logarithmic }: Landscape, value: number): number =>
  logarithmic ? Math.log10(Math.max(value, LEAST)) : value;

/** Values on a square grid of points, row by row from the top of the picture, so that it need not be turned. */
function sample(landscape: Landscape, points: number): number[] {
  const at = ([low, high]: Point, i: number): number => low + ((high - low) * i) / (points - 1);
  return Array.from({ length: points * points }, (_, index) => {
    const [column, row] = [index % points, points - 1 - Math.floor(index / points)];
    return scaled(landscape, landscape.value(at(landscape.x, column), at(landscape.y, row)));
  });
}

/** The ground: `size` pixels wide and high, finer where it is larger. */
export async function ground(
  landscape: Landscape,
  size: number,
  shades: number,
): Promise<{ svg: string; low: number; high: number }> {
  const { contours } = await import('d3-contour'); // an ES module, as all of D3
  const points = Math.round(Math.min(size / 2.5, 200));
  const values = sample(landscape, points);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const levels = Array.from({ length: shades - 1 }, (_, i) => low + ((high - low) * (i + 1)) / shades);
  const toPixels = (at: number): number => ((at - 0.5) / (points - 1)) * size;
  const shapes = contours()
    .size([points, points])
    .thresholds(levels)(values)
    .map(({ coordinates }, i) => {
      const rings = coordinates
        .flat()
        .map((ring) => ring.map(([x, y]): Point => [toPixels(x!), toPixels(y!)]));
      const d = rings.map((ring) => pathData(ring, true)).join('');
      return d === '' ? '' : element('path', { d, fill: shade((i + 1) / (shades - 1)) });
    });
  const lines = {
    transform: PATH_SCALE,
    stroke: '#ffffff',
    'stroke-width': shades === LEVELS.large ? 6 : 4,
    'stroke-opacity': 0.8,
  };
  const svg =
    element('rect', { width: size, height: size, fill: shade(0) }) + element('g', lines, shapes.join(''));
  return { svg, low, high };
}

/** Pixels of a point in a picture of a function. */
export function projection({ x, y }: Landscape, size: number): (point: Point) => Point {
  return ([px, py]) => [((px - x[0]) / (x[1] - x[0])) * size, (1 - (py - y[0]) / (y[1] - y[0])) * size];
}

const STAR = Array.from({ length: 10 }, (_, i): Point => {
  const [radius, angle] = [i % 2 === 0 ? 1 : 0.42, (Math.PI * i) / 5];
  return [radius * Math.sin(angle), -radius * Math.cos(angle)];
});

export function star([x, y]: Point, radius: number): string {
  const points = STAR.map(([dx, dy]) => `${(x + radius * dx).toFixed(1)},${(y + radius * dy).toFixed(1)}`);
  return element('polygon', { points: points.join(' '), fill: '#ffd54d', stroke: INK, 'stroke-width': 1 });
}

export function ring([cx, cy]: Point, r: number): string {
  return element('circle', { cx, cy, r, fill: '#ffffff', stroke: INK, 'stroke-width': 1.5 });
}

export interface Stroke {
  readonly color: string;
  readonly dash?: string | undefined;
  readonly width: number;
}

/** A path with a light rim, which keeps it apart from the ground and from others, and a dot where it ends. */
export function trail(points: readonly Point[], { color, dash, width }: Stroke): string {
  const d = pathData(points);
  const [cx, cy] = points.at(-1)!;
  const common = { d, fill: 'none', 'stroke-linejoin': 'round', transform: PATH_SCALE };
  return (
    element('path', {
      ...common,
      stroke: '#ffffff',
      'stroke-width': 10 * (width + 1.2),
      'stroke-opacity': 0.7,
    }) +
    element('path', { ...common, stroke: color, 'stroke-width': 10 * width, 'stroke-dasharray': dash }) +
    element('circle', { cx, cy, r: 2 * width, fill: color, stroke: '#ffffff', 'stroke-width': 0.8 })
  );
}

/** Axes with ticks and names around a picture whose corner is at the origin. */
export async function axes({ x, y }: Landscape, size: number): Promise<string> {
  const { ticks } = await import('d3-array');
  const parts = [element('rect', { width: size, height: size, fill: 'none', stroke: '#8c8c8c' })];
  for (const value of ticks(x[0], x[1], 8)) {
    const at = ((value - x[0]) / (x[1] - x[0])) * size;
    parts.push(line(at, size, at, size + 5, { stroke: '#8c8c8c' }));
    parts.push(text(at, size + 18, signed(value), { 'text-anchor': 'middle' }));
  }
  for (const value of ticks(y[0], y[1], 8)) {
    const at = (1 - (value - y[0]) / (y[1] - y[0])) * size;
    parts.push(line(-5, at, 0, at, { stroke: '#8c8c8c' }));
    parts.push(text(-9, at + 4, signed(value), { 'text-anchor': 'end' }));
  }
  const name = { 'font-size': 13, 'text-anchor': 'middle' };
  parts.push(text(size / 2, size + 38, 'x', name), text(-38, size / 2 + 4, 'y', name));
  return parts.join('');
}

const signed = (value: number): string => String(value).replace('-', '−');

/** What the shades stand for: a strip of them with values at its ends and middle. */
export function shadeLegend({ logarithmic }: Landscape, low: number, high: number, width: number): string {
  const step = width / LEVELS.large;
  const strip = Array.from({ length: LEVELS.large }, (_, i) =>
    element('rect', { x: i * step, width: step + 0.2, height: 12, fill: shade(i / (LEVELS.large - 1)) }),
  );
  const shown = (value: number): string =>
    logarithmic ? Number((10 ** value).toPrecision(1)).toLocaleString('en') : value.toFixed(0);
  const labels = [low, (low + high) / 2, high].map((value, i) =>
    text((i * width) / 2, 26, `${logarithmic && i === 0 && 10 ** low <= LEAST ? '≤ ' : ''}${shown(value)}`, {
      'text-anchor': ['start', 'middle', 'end'][i]!,
      fill: FAINT,
      'font-size': 10,
    }),
  );
  const frame = element('rect', { width, height: 12, fill: 'none', stroke: '#8c8c8c', 'stroke-width': 0.5 });
  return [...strip, frame, ...labels].join('');
}
