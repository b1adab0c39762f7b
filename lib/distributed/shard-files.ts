/** Checkpoints of many ranks: a file for each, and an index that says what is where. */
import { randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { readStateDict, writeStateDict } from '../checkpoint/checkpoint';
import { inWords, replaceFile } from '../checkpoint/files';
import type { StateDict } from '../state-dict';
import { describe } from '../validate';
import { gatherTexts } from './agreement';
import { dictFor, type Range } from './shard-state';
import type { Shares } from './shares';

/** What an index's name ends in. */
const suffix = '.index.json';
export const isIndex = (file: string): boolean => file.endsWith(suffix);

const format = 'fused-optim-shards';
const schema = 1;

interface Index {
  readonly format: string;
  readonly schema: number;
  readonly algorithm: string;
  readonly step: number;
  readonly files: readonly {
    readonly file: string;
    /** The elements it has of each tensor that it has some of. */
    readonly pieces: Readonly<Record<string, Range>>;
  }[];
}

/** Throws on every rank what one of them failed with. */
export async function together<T>(shares: Shares, what: string, work: () => Promise<T>): Promise<T> {
  let result: { readonly value: T } | undefined;
  let failed: unknown;
  try {
    result = { value: await work() };
  } catch (error) {
    failed = error;
  }
  const words = result ? '' : failed instanceof Error ? failed.message : String(failed);
  const all = await gatherTexts(shares.comm, words);
  if (!result) throw failed;
  const rank = all.findIndex((text) => text !== '');
  if (rank >= 0) throw new Error(`${what} failed on rank ${rank}: ${all[rank]!}`);
  return result.value;
}

async function readIndex(file: string): Promise<Index> {
  const text = await inWords('read', file, () => readFile(file, 'utf8'));
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch {
    index = undefined;
  }
  const given = index as Partial<Index> | undefined | null;
  if (given?.format !== format || !Array.isArray(given.files) || given.files.length === 0)
    throw new RangeError(
      `Expected "${file}" to be an index of a checkpoint of fused-optim but it is not one.`,
    );
  if (given.schema !== schema)
    throw new RangeError(
      `Expected "${file}" to have the schema ${schema} but received ${describe(given.schema)}: another version of fused-optim wrote it.`,
    );
  return given as Index;
}

/** Writes this rank's file; the first rank then replaces the index, and removes the files of the old one. */
export async function writeShards(file: string, shares: Shares, dict: StateDict): Promise<void> {
  const { comm, list } = shares;
  const base = path.basename(file, suffix);
  const [tag] = await gatherTexts(comm, randomBytes(4).toString('hex'));
  const number = (rank: number): string => String(rank + 1).padStart(5, '0');
  const nameOf = (rank: number): string =>
    `${base}.${tag!}-${number(rank)}-of-${number(comm.size - 1)}.safetensors`;
  const directory = path.dirname(file);
  await together(shares, 'Saving', async () => {
    const own = list
      .filter((share) => share.own)
      .map(({ slot: { name } }) => [name, dict.state[name]!] as const);
    await writeStateDict(path.join(directory, nameOf(comm.rank)), {
      ...dict,
      state: Object.fromEntries(own),
    });
  });
  await together(shares, 'Saving', async () => {
    if (comm.rank !== 0) return;
    const old = await readIndex(file).catch(() => undefined);
    const index: Index = {
      format,
      schema,
      algorithm: dict.algorithm,
      step: dict.step,
      files: Array.from({ length: comm.size }, (_, rank) => ({
        file: nameOf(rank),
        pieces: Object.fromEntries(
          list.flatMap(({ slot: { name }, pieces }) =>
            pieces
              .filter((piece) => piece.rank === rank)
              .map(({ begin, end }) => [name, [begin, end] as const]),
          ),
        ),
      })),
    };
    await replaceFile(file, async (handle) => {
      await handle.writeFile(`${JSON.stringify(index)}\n`);
    });
    const kept = new Set(index.files.map((one) => one.file));
    for (const one of old?.files ?? []) {
      if (path.basename(one.file) === one.file && !kept.has(one.file))
        await rm(path.join(directory, one.file), { force: true });
    }
  });
}

/** This rank's dict, out of the files of however many ranks. */
export async function readShards(file: string, shares: Shares): Promise<StateDict> {
  const index = await readIndex(file);
  const wanted = new Map(shares.list.flatMap(({ slot: { name }, own }) => (own ? [[name, own]] : [])));
  const needed = index.files.filter(({ pieces }) =>
    Object.entries(pieces).some(([name, [begin, end]]) => {
      const own = wanted.get(name);
      return own !== undefined && (own.begin === own.end || (begin < own.end && end > own.begin));
    }),
  );
  const parts = [];
  for (const { file: name, pieces } of needed.length > 0 ? needed : index.files.slice(0, 1)) {
    const dict = await readStateDict(path.join(path.dirname(file), name));
    parts.push({ dict, rangeOf: (tensor: string) => pieces[tensor] });
  }
  // Of the others only what they have is told, so that a tensor that is missing is missed.
  const empty = { ...parts[0]!.dict, state: {} };
  for (const { pieces } of index.files)
    parts.push({ dict: empty, rangeOf: (tensor: string) => pieces[tensor] });
  return dictFor(shares, parts);
}

/** This rank's dict, out of that of one process. */
export function cutDict(dict: StateDict, shares: Shares): StateDict {
  const rangeOf = (name: string): Range | undefined => {
    const share = shares.list.find(({ slot }) => slot.name === name);
    return share && [0, share.slot.length];
  };
  return dictFor(shares, [{ dict, rangeOf }]);
}
