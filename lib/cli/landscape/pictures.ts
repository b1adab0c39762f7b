/** The pictures of `fused-optim landscape`: all paths on one function, and a grid of functions and optimizers. */
import { document, element, FAINT, line, text } from '../picture/svg';
import type { Descent, Settings } from './descent';
import type { Landscape } from './functions';
import { axes, ground, projection, ring, shadeLegend, LEVELS, star, trail, type Stroke } from './panel';

/** Colours that stay apart on the ground; the first seven for colour-blind readers too (Okabe and Ito). */
const COLORS = [
  ...['#0072b2', '#d55e00', '#008a63', '#b8528f', '#000000', '#c98500', '#2f9bd6', '#7b2d90', '#b2182b'],
  ...['#3f7d20', '#e7298a', '#8c510a', '#1f3a93', '#6b6b00', '#00818a', '#5c5c5c', '#e34a33'],
];

export interface Result {
  readonly landscape: Landscape;
  readonly descents: readonly Descent[];
  /** Whether rates were searched for, or given. */
  readonly tuned: boolean;
}

/** A colour each; after some of them also dashes, which tell neighbours on the circle of colours apart. */
export function strokes(names: readonly string[], width: number): Map<string, Stroke> {
  return new Map(
    names.map((name, i) => [
      name,
      {
        color: COLORS[i % COLORS.length]!,
        dash: i % 3 === 2 ? `${30 * width} ${18 * width}` : undefined,
        width,
      },
    ]),
  );
}

/** A value in few letters, with a true minus sign. */
function short(value: number): string {
  if (!Number.isFinite(value)) return '∞';
  if (value === 0) return '0';
  const text = value < 1e-3 || value >= 1e4 ? value.toExponential(0) : String(Number(value.toPrecision(2)));
  return text.replace('e+', 'e').replace('-', '−');
}

const at = (x: number, y: number, content: string): string =>
  element('g', { transform: `translate(${x} ${y})` }, content);

const clip = (id: string, size: number): string =>
  element('clipPath', { id }, element('rect', { width: size, height: size }));

/** The paths on a ground, with where they start and what they look for. */
function scene(
  { landscape, descents }: Result,
  size: number,
  looks: ReadonlyMap<string, Stroke>,
  marks: number,
): string {
  const project = projection(landscape, size);
  const trails = descents.map(({ optimizer, path }) => trail(path.map(project), looks.get(optimizer)!));
  const minima = landscape.minima.map((minimum) => star(project(minimum), marks));
  return [...trails, ...minima, ring(project(landscape.start), marks * 0.6)].join('');
}

function rateText({ tuned }: Result): string {
  return tuned ? 'learning rates: the best of 26 from 0.0001 to 10' : 'learning rates as given';
}

/** One function, with a legend of what each optimizer reached. */
export async function functionPicture(result: Result, { steps }: Settings): Promise<string> {
  const { landscape } = result;
  const [size, left, top] = [620, 66, 84];
  const byScore = [...result.descents].sort((a, b) => a.score - b.score);
  const looks = strokes(
    result.descents.map(({ optimizer }) => optimizer),
    1.6,
  );
  const { svg, low, high } = await ground(landscape, size, LEVELS.large);
  const x = left + size + 28;
  const rows = byScore.map(({ optimizer, lr, score }, i) => {
    const { color, dash } = looks.get(optimizer)!;
    const y = 118 + 22 * i;
    const dashes = dash?.split(' ').map((length) => Number(length) / 10);
    const look = { stroke: color, 'stroke-width': 2.6, 'stroke-dasharray': dashes?.join(' ') };
    return (
      line(x, y - 4, x + 26, y - 4, look) +
      text(x + 34, y, optimizer, { 'font-size': 12 }) +
      text(x + 166, y, String(lr), { 'text-anchor': 'end' }) +
      text(x + 246, y, short(score), { 'text-anchor': 'end' })
    );
  });
  const small = { fill: FAINT, 'font-size': 10 };
  const heads = [
    text(x + 34, 96, 'optimizer, best first', small),
    text(x + 166, 96, 'rate', { ...small, 'text-anchor': 'end' }),
    text(x + 246, 96, 'f at the end', { ...small, 'text-anchor': 'end' }),
  ];
  const end = 118 + 22 * byScore.length;
  const below = [
    ring([x + 13, end + 18], 5) + text(x + 34, end + 22, 'start'),
    star([x + 13, end + 38], 8) + text(x + 34, end + 42, landscape.minima.length > 1 ? 'minima' : 'minimum'),
    text(x, end + 76, landscape.logarithmic ? 'f, contours at equal steps of its logarithm' : 'f', small),
    at(x, end + 82, shadeLegend(landscape, low, high, 246)),
  ];
  const body = [
    element('defs', {}, clip('panel', size)),
    text(left, 34, landscape.title, { 'font-size': 20, 'font-weight': 'bold' }),
    text(left, 54, `f(x, y) = ${landscape.formula}`, { 'font-size': 12 }),
    text(left, 72, `${steps} steps; ${rateText(result)}`, { fill: FAINT }),
    at(
      left,
      top,
      element('g', { 'clip-path': 'url(#panel)' }, svg + scene(result, size, looks, 11)) +
        (await axes(landscape, size)),
    ),
    ...heads,
    ...rows,
    ...below,
  ];
  const height = Math.max(top + size + 56, end + 130);
  return document(x + 246 + 24, height, `${landscape.title}: the paths of optimizers`, body);
}

/** Functions from left to right, optimizers from top to bottom. */
export async function gridPicture(results: readonly Result[], { steps }: Settings): Promise<string> {
  const [size, gap, left, top] = [160, 10, 104, 106];
  const names = results[0]!.descents.map(({ optimizer }) => optimizer);
  const looks = strokes(names, 1.3);
  const plain = new Map([...looks].map(([name, look]) => [name, { ...look, dash: undefined }]));
  const column = (i: number): number => left + i * (size + gap);
  const row = (i: number): number => top + i * (size + gap);
  const grounds = await Promise.all(
    results.map(async ({ landscape }, i) =>
      element('g', { id: `f${i}` }, (await ground(landscape, size, LEVELS.small)).svg),
    ),
  );
  const panels = results.flatMap((result, i) =>
    result.descents.map((descent, j) => {
      const inside = scene({ ...result, descents: [descent] }, size, plain, 6);
      const label = `lr ${descent.lr}, f ${short(descent.score)}`;
      return at(
        column(i),
        row(j),
        element('g', { 'clip-path': 'url(#panel)' }, element('use', { href: `#f${i}` }) + inside) +
          element('rect', {
            y: size - 16,
            width: 8 + 5.5 * label.length,
            height: 16,
            fill: '#ffffff',
            'fill-opacity': 0.82,
          }) +
          text(4, size - 4.5, label, { 'font-size': 10 }) +
          element('rect', {
            width: size,
            height: size,
            fill: 'none',
            stroke: '#8c8c8c',
            'stroke-width': 0.8,
          }),
      );
    }),
  );
  const width = column(results.length) - gap + 24;
  const explained = [
    ring([24, 62], 4.5) + text(34, 66, 'start'),
    star([82, 62], 7) + text(93, 66, 'minimum'),
    text(
      164,
      66,
      `${steps} steps; lr: learning rate, ${results[0]!.tuned ? 'the best of 26' : 'as given'}; f: value at the end; darker is lower`,
      {
        fill: FAINT,
      },
    ),
  ];
  const body = [
    element('defs', {}, [clip('panel', size), ...grounds].join('')),
    text(20, 36, 'Optimizers on test functions', { 'font-size': 18, 'font-weight': 'bold' }),
    ...explained,
    ...results.map(({ landscape }, i) =>
      text(column(i) + size / 2, top - 10, landscape.title, { 'font-size': 13, 'text-anchor': 'middle' }),
    ),
    ...names.map((name, j) =>
      text(left - 10, row(j) + size / 2 + 4, name, {
        ...{ 'font-size': 13, 'font-weight': 'bold', 'text-anchor': 'end', fill: looks.get(name)!.color },
      }),
    ),
    ...panels,
  ];
  return document(width, row(names.length) - gap + 20, 'Optimizers on test functions', body);
}
