/** What a plan says as a picture: memory, how even the ranks are, and where the time of a step goes. */
import type { RankLoad, Forecast } from '../../distributed/forecast';
import { most, sum } from '../../distributed/owners';
import { bytesText } from '../output';
import { document, element, FAINT, INK, line, text } from '../picture/svg';
import { secondsText, type Products, type Timed } from './plan';

const COLORS = ['#0072b2', '#e69f00', '#009e73'];
const [LEFT, WIDTH, ROW] = [176, 520, 22];

interface Bar {
  readonly name: string;
  /** Lengths of the colours. */
  readonly parts: readonly number[];
  readonly unit: (sum: number) => string;
}

const heading = (y: number, words: string): string => text(20, y, words, { 'font-weight': 'bold' });

/** Bars by groups, each of which has a scale of its own, and below them what the colours are. */
function bars(y: number, title: string, groups: readonly (readonly Bar[])[], words: readonly string[]) {
  const drawn = [heading(y, title)];
  for (const group of groups) {
    const longest = most(group.map(({ parts }) => sum(parts))) || 1;
    for (const { name, parts, unit } of group) {
      y += ROW;
      let x = LEFT;
      drawn.push(text(x - 8, y, name, { 'text-anchor': 'end' }));
      parts.forEach((part, i) => {
        const width = (part / longest) * WIDTH;
        drawn.push(element('rect', { x, y: y - 12, width, height: ROW - 6, fill: COLORS[i] }));
        x += width;
      });
      drawn.push(text(x + 6, y, unit(sum(parts))));
    }
    y += 10;
  }
  words.forEach((word, i) => {
    const x = LEFT + 130 * i;
    drawn.push(
      element('rect', { x, y: y + 3, width: 10, height: 10, fill: COLORS[i] }),
      text(x + 15, y + 12, word),
    );
  });
  return drawn;
}

/** Every rank beside the mean. */
function evenness(y: number, title: string, values: readonly number[]): string[] {
  const height = 90;
  const mean = sum(values) / values.length || 1;
  const scale = height / Math.max(1.25, most(values) / mean);
  const bottom = y + 16 + height;
  const step = WIDTH / values.length;
  const columns = values.map((value, i) => {
    const tall = (value / mean) * scale;
    const box = { x: LEFT + step * i, y: bottom - tall, width: step * 0.85, height: tall };
    return element('rect', { ...box, fill: COLORS[0] });
  });
  return [
    heading(y, title),
    ...columns,
    line(LEFT, bottom - scale, LEFT + WIDTH, bottom - scale),
    text(LEFT - 8, bottom - scale + 4, 'mean', { 'text-anchor': 'end', fill: INK }),
    text(LEFT, bottom + 14, 'rank 0', { fill: FAINT }),
    text(LEFT + WIDTH, bottom + 14, `rank ${values.length - 1}`, { fill: FAINT, 'text-anchor': 'end' }),
  ];
}

export function planChart(
  title: string,
  { ranks, replicated }: Forecast,
  times: readonly Timed[],
  products: Products,
): string {
  const kept = (name: string, { stateBytes, masterBytes }: RankLoad): Bar => ({
    name,
    parts: [stateBytes, masterBytes],
    unit: bytesText,
  });
  const all = (load: RankLoad): number => load.stateBytes + load.masterBytes;
  const fullest = ranks.reduce((a, b) => (all(b) > all(a) ? b : a));
  const isMuon = replicated.flops > 0;
  const spent = times.map(({ name, ...of }) =>
    (['replicated', 'sharded'] as const).map((how): Bar => {
      const { gradients, parameters, check } = of[how];
      return {
        name: `${name}, ${how}`,
        parts: [gradients, parameters + check, products[how]],
        unit: secondsText,
      };
    }),
  );
  return document(LEFT + WIDTH + 90, 380 + times.length * (2 * ROW + 10), title, [
    text(20, 30, title, { 'font-size': 13, 'font-weight': 'bold' }),
    ...bars(
      60,
      'State and master copies that a rank keeps',
      [[kept('replicated', replicated), kept('sharded, the most', fullest)]],
      ['states', 'master copies'],
    ),
    ...evenness(
      165,
      isMuon ? 'Newton–Schulz operations, rank by rank' : 'Elements that are updated, rank by rank',
      ranks.map(({ flops, elements }) => (isMuon ? flops : elements)),
    ),
    ...bars(325, 'Time of a step without overlap; each network has a scale of its own', spent, [
      'gradients',
      'parameters',
      ...(isMuon ? ['Newton–Schulz'] : []),
    ]),
  ]);
}
