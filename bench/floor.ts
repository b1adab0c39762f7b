import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Contender } from './interleave';
import { streams, type Pass } from './rules';

/** bench/native's addon. */
interface NativeStreams {
  run(passes: Int32Array, elements: number, threads: number, steps: number): number;
  release(): void;
}

interface NativeFloor {
  Streams: new (elements: number, hugePages: boolean) => NativeStreams;
}

const directory = path.join(__dirname, 'native');
const binary = path.join(directory, 'build', 'Release', 'stream_floor.node');
const stampFile = path.join(directory, 'build', 'stamp');

/** What the binary depends on: its sources, and the machine, because it is compiled for exactly this CPU. */
function stamp(): string {
  const hash = createHash('sha256');
  for (const file of readdirSync(directory).sort()) {
    if (/\.(cpp|h|gyp)$/.test(file)) hash.update(readFileSync(path.join(directory, file)));
  }
  hash.update([process.platform, process.arch, process.versions.modules, os.cpus()[0]?.model].join());
  return hash.digest('hex');
}

/** The folder Node's headers lie in when they came with Node: then node-gyp need not download them. */
function nodeDirectory(): string[] {
  const prefix = path.dirname(path.dirname(process.execPath));
  const header = path.join(prefix, 'include', 'node', 'node_version.h');
  return existsSync(header) ? [`--nodedir=${prefix}`] : [];
}

function build(): void {
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js');
  const args = [nodeGyp, 'rebuild', '-C', directory, ...nodeDirectory()];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`The build of the floor in bench/native failed:\n${stdout}${stderr}`);
}

/** Loads the floor's addon, building it first when it is missing, older than its sources or of another machine. */
export function loadFloor(onBuild?: () => void): NativeFloor {
  const wanted = stamp();
  const found = existsSync(stampFile) && existsSync(binary) ? readFileSync(stampFile, 'utf8') : '';
  if (found !== wanted) {
    onBuild?.();
    build();
    mkdirSync(path.dirname(stampFile), { recursive: true });
    writeFileSync(stampFile, wanted);
  }
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require(binary) as NativeFloor;
}

export type FloorKind = 'traffic' | 'divider';

/** The passes as native code takes them. */
function encode(passes: readonly Pass[], divide: boolean): Int32Array {
  const mask = (letters: string): number =>
    letters.split('').reduce((bits, letter) => bits | (1 << streams.indexOf(letter)), 0);
  return Int32Array.from(
    passes.flatMap(({ reads, updates, divides, every }) => [
      mask(reads),
      mask(updates),
      Number(divide && divides),
      every,
    ]),
  );
}

/** The streams of the whole run: made at the first use, shared by every rule and set that fits. */
export class Floor {
  #streams: NativeStreams | undefined;
  #elements = 0;

  constructor(
    private readonly native: NativeFloor,
    private readonly hugePages: boolean,
  ) {}

  /** A contender that makes a rule's passes and, for `divider`, takes the roots and divisions in them. */
  contender(kind: FloorKind, elements: number, passes: readonly Pass[], threads: number): Contender {
    if (!this.#streams || this.#elements < elements) {
      this.release();
      this.#streams = new this.native.Streams(elements, this.hugePages);
      this.#elements = elements;
    }
    const native = this.#streams;
    const encoded = encode(passes, kind === 'divider');
    return { name: kind, run: (steps) => native.run(encoded, elements, threads, steps) };
  }

  /** Gives the memory back; the next use takes it anew. */
  release(): void {
    this.#streams?.release();
    this.#streams = undefined;
  }
}
