import { spawnSync } from 'node:child_process';

/** A safetensors file written by hand: the header as text or bytes, and what follows it. */
export function safetensorsFile(header: unknown, data: Uint8Array = new Uint8Array(0)): Buffer {
  const isRaw = typeof header === 'string' || header instanceof Uint8Array;
  const text = Buffer.from(isRaw ? (header as string) : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

export const python = process.env.PYTHON ?? 'python3';

/** `test` where Python has a module; elsewhere a skipped test that says why. */
export function testWithPython(module: string): jest.It {
  const { status, stderr, error } = spawnSync(python, ['-c', `import ${module}`], { encoding: 'utf8' });
  if (status === 0) return test;
  const reason = error?.message ?? stderr.trim().split('\n').at(-1) ?? '';
  console.warn(`Skipped: what needs Python with ${module} (${reason})`);
  return test.skip;
}

/** Runs a Python program; returns what it printed, or throws what it complained about. */
export function runPython(args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(python, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(error?.message ?? stderr);
  return stdout;
}

/** The message of an error that must come. */
export async function rejection(action: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof action === 'function' ? action() : action);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('Expected an error but there was none.');
}
