import { align } from '../lib/align';
import { digits, percent } from '../lib/cli/output';
import type { CellResult } from './cell';
import { rules } from './rules';

export { align, digits, percent };

const bounds = { traffic: 'memory', divider: 'divider', products: 'products' } as const;

function titleOf(cell: CellResult): string {
  return rules.get(cell.rule)?.title ?? cell.rule;
}

function floorRows(cells: readonly CellResult[]): string[][] {
  const plain = cells.some((cell) => cell.plain);
  const head = [
    'rule',
    'µs/step',
    'ns/param',
    'GB/s',
    'share of streaming',
    '× traffic',
    '× sqrt+div',
    'bound',
    ...(plain ? ['× without'] : []),
  ];
  const rows = cells.map((cell) => [
    titleOf(cell),
    digits(cell.medianUs),
    digits(cell.nsPerParameter),
    digits(cell.gbPerSecond),
    percent(cell.share),
    digits(cell.floors.traffic.ratio.median),
    cell.floors.divider ? digits(cell.floors.divider.ratio.median) : '',
    bounds[cell.bound],
    ...(plain ? [cell.plain ? digits(cell.plain.ratio.median) : ''] : []),
  ]);
  return [head, ...rows];
}

function peerRows(cells: readonly CellResult[]): string[][] {
  const names = [...new Set(cells.flatMap(({ peers }) => peers.map(({ name }) => name)))];
  if (names.length === 0) return [];
  const rows = cells.map((cell) => [
    titleOf(cell),
    ...names.flatMap((name) => {
      const peer = cell.peers.find((each) => each.name === name);
      return peer ? [digits(peer.medianUs), digits(peer.ratio.median)] : ['', ''];
    }),
  ]);
  return [['rule', ...names.flatMap((name) => [`${name}: µs`, 'ours/theirs'])], ...rows];
}

/** What was left out and why, one line a reason. */
function reasonLines(cells: readonly CellResult[]): string[] {
  const byReason = new Map<string, Set<string>>();
  for (const { name, reason } of cells.flatMap(({ skipped }) => skipped)) {
    byReason.set(reason, (byReason.get(reason) ?? new Set()).add(name));
  }
  return [...byReason].map(([reason, names]) => `not measured: ${[...names].join(', ')}. ${reason}`);
}

/** One block: the rules of one set with one number of threads, and below it the peers when there are any. */
export function block(cells: readonly CellResult[]): string {
  const [first] = cells;
  if (!first) return '';
  const plural = (count: number, noun: string): string =>
    `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
  const title =
    `${first.set}: ${plural(first.tensors, 'tensor')}, ` +
    `${plural(first.parameters, 'parameter')}, ${plural(first.threads, 'thread')}`;
  const lines = [...align(floorRows(cells)), ...align(peerRows(cells)), ...reasonLines(cells)];
  return [title, ...lines.map((line) => `  ${line}`)].join('\n');
}
