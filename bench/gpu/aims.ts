/** Holds measurements against what is aimed for. */
import type { Aim, Case } from './cases';
import { torchNames } from './cases';
import { inPieces, type Ceilings } from './ceilings';
import type { Cell } from './measure';

export interface Verdict {
  readonly id: string;
  readonly aim: string;
  /** Null where it could not be measured. */
  readonly measured: number | null;
  readonly met: boolean | null;
}

/** Share of the copy rate that a cell's required traffic reaches. */
export function shareOf(cell: Cell, { bytesPerSecond }: Ceilings): number | null {
  return bytesPerSecond === null ? null : (cell.gbPerSecond * 1e9) / bytesPerSecond;
}

/**
 * Rate of Muon's products over that of large ones. What the elementwise passes must take is left out of the time. Forms
 * that need fewer operations than the plain iteration are credited with the plain one's.
 */
export function productShare(cell: Cell, { bytesPerSecond, products }: Ceilings): number | null {
  const large = products[0]?.flops;
  if (cell.flops === null || bytesPerSecond === null || large === undefined) return null;
  const elementwise = (cell.bytesPerParameter * cell.parameters) / bytesPerSecond;
  const seconds = cell.time.ms.median / 1000 - elementwise;
  return seconds > 0 ? cell.flops / seconds / large : null;
}

function verdict(aim: Aim, cell: Cell, ceilings: Ceilings): Pick<Verdict, 'aim' | 'measured' | 'met'> {
  const atLeast = (text: string, measured: number | null, least: number) => ({
    aim: `at least ${least} ${text}`,
    measured,
    met: measured === null ? null : measured >= least,
  });
  const atMost = (text: string, measured: number | null, most: number) => ({
    aim: `at most ${most} ${text}`,
    measured,
    met: measured === null ? null : measured <= most,
  });
  const share = shareOf(cell, ceilings);
  switch (aim.kind) {
    case 'share':
      return atLeast('of the copy rate', share, aim.atLeast);
    case 'floor':
      return atMost('times the floor', share === null ? null : 1 / share, aim.atMost);
    case 'peer': {
      const peer = cell.peers.find(({ mode }) => mode === aim.mode);
      const pieces = aim.inPieces !== undefined && inPieces(ceilings) === true;
      const least = pieces ? aim.inPieces : aim.atLeast;
      return atLeast(`times as fast as ${torchNames[aim.mode]}`, peer?.ratio ?? null, least);
    }
    case 'host': {
      const us = cell.hostUs && (aim.graph ? cell.hostUs.graph : cell.hostUs.eager);
      return atMost(`µs of host time ${aim.graph ? 'with' : 'without'} a graph`, us, aim.atMost);
    }
    case 'products':
      return atLeast('of the rate of large products', productShare(cell, ceilings), aim.atLeast);
  }
}

export function verdicts(cases: readonly Case[], cells: readonly Cell[], ceilings: Ceilings): Verdict[] {
  return cases.flatMap((given) => {
    const cell = cells.find(({ id }) => id === given.id);
    // Of a part of a set, rates and ratios are much the same, but the aim was not set for it.
    return given.aims.map((aim) => ({
      id: given.id,
      ...(cell ? verdict(aim, cell, ceilings) : { aim: aim.kind, measured: null, met: null }),
    }));
  });
}
