import type { Communicator } from './communicator';
import { sum } from './owners';

/** What every rank must say the same of a step, by name. Numbers stand for themselves, or for a text by its hash. */
export type Facts = Readonly<Record<string, number>>;

/** FNV-1a of an array's bytes. */
export function hashOf({ buffer, byteOffset, byteLength }: ArrayBufferView): number {
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(buffer, byteOffset, byteLength))
    hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** All ranks' arrays of one length. */
export async function gatherAll(comm: Communicator, own: Uint8Array): Promise<Uint8Array[]> {
  const all = new Uint8Array(own.length * comm.size);
  await comm.allGather(own, all);
  return Array.from({ length: comm.size }, (_, rank) =>
    all.subarray(rank * own.length, (rank + 1) * own.length),
  );
}

/** All ranks' texts. */
export async function gatherTexts(comm: Communicator, own: string): Promise<string[]> {
  const bytes = new Uint8Array(Buffer.from(own));
  const lengths = new Float64Array(comm.size);
  await comm.allGather(Float64Array.of(bytes.length), lengths);
  const counts = [...lengths];
  const all = new Uint8Array(sum(counts));
  await comm.allGather(bytes, all, { counts });
  let at = 0;
  return counts.map((length) => Buffer.from(all.subarray(at, (at += length))).toString());
}

/**
 * Throws the same sentence on every rank where they differ. `failed`: why this rank cannot go on, which it throws itself
 * after the others have heard of it.
 *
 * @param explain more words on facts that are hashes; called on all ranks, which may exchange what they need
 */
export async function agree(
  comm: Communicator,
  what: string,
  facts: Facts,
  failed: unknown,
  explain: (name: string) => Promise<string | undefined> = () => Promise.resolve(undefined),
): Promise<void> {
  const names = Object.keys(facts);
  const width = names.length + 1;
  const all = new Float64Array(width * comm.size);
  await comm.allGather(Float64Array.of(Number(failed !== undefined), ...Object.values(facts)), all);
  if (failed !== undefined) throw failed as Error;
  const rows = Array.from({ length: comm.size }, (_, rank) => all.subarray(rank * width, (rank + 1) * width));
  const lost = rows.findIndex(([isFailed]) => isFailed !== 0);
  if (lost >= 0)
    throw new Error(`Expected all ranks to take part in ${what} but rank ${lost} failed: see its error.`);
  for (const [i, name] of names.entries()) {
    const other = rows.findIndex((row) => !Object.is(row[i + 1], rows[0]![i + 1]));
    if (other < 0) continue;
    const text = await explain(name);
    const values = [0, other].map((rank) => `rank ${rank} has ${rows[rank]![i + 1]}`).join(' and ');
    throw new RangeError(
      `Expected all ranks to have the same ${name} in ${what} but ${text ?? values}; nothing was changed.`,
    );
  }
}
