import { readFileSync } from 'node:fs';
import os from 'node:os';
import { backends } from 'fused-optim';
import { commit } from '../scripts/commit';

/** Where and with what a run was made; part of every result. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly os: string;
  /** The instruction set the library chose. */
  readonly isa: string | null;
  readonly node: string;
  /** Null outside a git checkout; `+` after the hash: the checkout had changes. */
  readonly commit: string | null;
  readonly date: string;
}

export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGB: Math.round(os.totalmem() / 2 ** 30),
    os: `${os.type()} ${os.release()} ${os.arch()}`,
    isa: backends().cpu.isa,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString(),
  };
}

/** Ticks of all processors since the start of the system: all of them, and those that somebody used. */
function systemTicks(): { total: number; busy: number } | null {
  try {
    const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
    const [user, nice, system, idle, wait, irq, softIrq, steal] = line.split(' ').map(Number) as [
      ...[number, number, number, number, number, number, number, number],
    ];
    const busy = user + nice + system + irq + softIrq + steal;
    return { total: busy + idle + wait, busy };
  } catch {
    return null;
  }
}

/** Linux counts ticks of 10 ms. */
const TICKS_PER_SECOND = 100;

/**
 * Starts watching; the function returned tells which share of all processors others used meanwhile, other guests of
 * the host included, or null where the system does not say. Above a few percent, times are not worth much.
 */
export function watchOthers(): () => number | null {
  const start = systemTicks();
  const own = process.cpuUsage();
  return () => {
    const end = systemTicks();
    if (!start || !end || end.total === start.total) return null;
    const { user, system } = process.cpuUsage(own);
    const mine = ((user + system) / 1e6) * TICKS_PER_SECOND;
    return Math.max(0, (end.busy - start.busy - mine) / (end.total - start.total));
  };
}
