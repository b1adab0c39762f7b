import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Contender } from './interleave';

/** bench/native's addon. */
interface NativeStreams {
  run(states: number, divide: boolean, elements: number, threads: number, steps: number): number;
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

/** The streams of the whole run: made at the first use, shared by every rule and set that fits. */
export class Floor {
  #streams: NativeStreams | undefined;
  #elements = 0;

  constructor(
    private readonly native: NativeFloor,
    private readonly hugePages: boolean,
  ) {}

  /** A contender that moves a rule's arrays and, for `divider`, takes one root and one division an element. */
  contender(kind: FloorKind, elements: number, states: number, threads: number): Contender {
    if (!this.#streams || this.#elements < elements) {
      this.release();
      this.#streams = new this.native.Streams(elements, this.hugePages);
      this.#elements = elements;
    }
    const streams = this.#streams;
    return { name: kind, run: (steps) => streams.run(states, kind === 'divider', elements, threads, steps) };
  }

  /** Gives the memory back; the next use takes it anew. */
  release(): void {
    this.#streams?.release();
    this.#streams = undefined;
  }
}
