/** Bars: how fast each optimizer goes through memory. Of shares, since what else the machine does changes both rates. */
import { digits } from '../output';
import { document, element, FAINT, line, text } from '../picture/svg';
import type { Timed } from './measure';

const BAR = '#0072b2';

export async function benchChart(
  { optimizers, streamingGbPerSecond }: { optimizers: readonly Timed[]; streamingGbPerSecond: number },
  subtitle: string,
): Promise<string> {
  const { ticks } = await import('d3-array');
  const [left, top, width, row] = [124, 92, 560, 24];
  const most = Math.max(1.08, ...optimizers.map(({ share }) => 1.04 * share.median));
  const x = (share: number): number => left + (share / most) * width;
  const bottom = top + row * optimizers.length + 6;
  const grid = ticks(0, most, 6).map(
    (share) =>
      line(x(share), top - 4, x(share), bottom, { stroke: '#e4e4e4' }) +
      text(x(share), bottom + 16, `${Math.round(100 * share)} %`, { 'text-anchor': 'middle' }),
  );
  const bars = optimizers.map(({ optimizer, gbPerSecond, share }, i) => {
    const y = top + row * i;
    return (
      text(left - 8, y + 14, optimizer, { 'font-size': 12, 'text-anchor': 'end' }) +
      element('rect', { x: left, y: y + 3, width: x(share.median) - left, height: row - 8, fill: BAR }) +
      text(left + width + 52, y + 14, digits(gbPerSecond), { 'text-anchor': 'end' })
    );
  });
  const rate = `streaming rate, ${digits(streamingGbPerSecond)} GB/s`;
  const body = [
    text(20, 32, 'Memory rate of a step, as a share of what this machine streams', {
      'font-size': 16,
      'font-weight': 'bold',
    }),
    text(20, 52, subtitle, { fill: FAINT }),
    ...grid,
    ...bars,
    line(x(1), top - 8, x(1), bottom, { 'stroke-width': 1.5, 'stroke-dasharray': '5 4' }),
    text(x(1) + 8, top - 13, rate, { 'text-anchor': 'end' }),
    text(left + width + 52, top - 13, 'GB/s', { 'text-anchor': 'end', fill: FAINT }),
  ];
  return document(left + width + 76, bottom + 34, 'Memory rate of optimizers', body);
}
