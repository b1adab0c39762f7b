/** `fused-optim demo`: the GPT of examples/gpt, which a checkout has and the npm package has not. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { exitCodes, print } from './output';

const script = path.join(__dirname, '..', '..', 'scripts', 'demo.js');

const absent =
  'The demo is not in the npm package, since it trains on files of development dependencies: run ' +
  "`npm ci && npx fused-optim demo` in a clone of fused-optim's repository.";

const hasDemo = (): boolean =>
  existsSync(script) && existsSync(path.join(__dirname, '..', '..', 'examples', 'gpt', 'train.ts'));

/** Runs the demo with the arguments as they are; its exit code is that of the command. */
export async function demo(args: readonly string[]): Promise<number> {
  if (!hasDemo()) {
    if (!args.includes('--help')) throw new Error(absent);
    print(`Usage: fused-optim demo [options]\n\nTrains a small GPT on real text. ${absent}`);
    return exitCodes.fine;
  }
  const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' });
  // On a terminal Ctrl-C reaches the demo by itself, which saves its checkpoint and then ends.
  const wait = (): void => undefined;
  const pass = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', wait).on('SIGTERM', pass);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject).once('exit', (code) => resolve(code ?? exitCodes.failed));
    });
  } finally {
    process.off('SIGINT', wait).off('SIGTERM', pass);
  }
}
