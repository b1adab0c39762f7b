#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { doctor } from './doctor';

const usage = `Usage: fused-optim doctor [--json]

  doctor    What this machine offers: CPU kernels, threads, CUDA, or why each is missing.
            Exits with 1 when no kernels can run.
  --json    The same as JSON.
`;

function main(): number {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  const { positionals, values } = parsed;
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (positionals.length === 1 && positionals[0] === 'doctor') return doctor(values.json);
  const received = positionals.length === 0 ? 'nothing' : `"${positionals.join(' ')}"`;
  process.stderr.write(`Expected the command doctor but received ${received}.\n\n${usage}`);
  return 2;
}

process.exitCode = main();
