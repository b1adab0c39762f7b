/** What the operating system says of this machine; it needs no native code, which may be what is broken. */
import { readFileSync } from 'node:fs';
import os from 'node:os';

/** CPU features that kernels use, or that would say why they cannot, under the names that Linux has for them. */
const relevant = [
  ...['sse4_2', 'avx', 'f16c', 'fma', 'avx2', 'avx512f', 'avx512dq', 'avx512bw', 'avx512vl', 'avx512_bf16'],
  ...['avx512_fp16', 'amx_bf16', 'asimd', 'asimdhp', 'bf16', 'sve'],
];

function cpuFeatures(): string[] | null {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    const flags = new Set(line.trim().split(/\s+/));
    return relevant.filter((name) => flags.has(name));
  } catch {
    return null;
  }
}

interface Header {
  readonly glibcVersionRuntime?: string;
}

/** The C library decides whether a prebuilt binary loads. */
function libc(): string | null {
  if (process.platform !== 'linux') return null;
  const { header } = process.report.getReport() as { header?: Header };
  return header?.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl or another, not glibc';
}

export interface Machine {
  readonly node: string;
  readonly platform: string;
  readonly os: string;
  readonly libc: string | null;
  readonly cpu: string;
  /** Null where the system has no list of them that could be read. */
  readonly cpuFeatures: readonly string[] | null;
  readonly cores: number;
  readonly memoryBytes: number;
  /** What a container allows; null where there is no such limit. */
  readonly memoryLimitBytes: number | null;
}

export function describeMachine(): Machine {
  const limit = process.constrainedMemory();
  const total = os.totalmem();
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    os: `${os.type()} ${os.release()}`,
    libc: libc(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cpuFeatures: cpuFeatures(),
    cores: os.cpus().length,
    memoryBytes: total,
    memoryLimitBytes: limit > 0 && limit < total ? limit : null,
  };
}
