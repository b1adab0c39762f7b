#!/usr/bin/env node
/** `npx fused-optim`: reads the command line and runs a command. Commands are loaded when they run. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { exitCodes, note, printJson, UsageError } from './output';

function version(): string {
  const manifest = readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

const json = (): Option => new Option('--json', 'one JSON value on standard output, and nothing else');

/** A command's function returns its exit code; what it throws is one sentence for the user. */
type Run = (options: Readonly<Record<string, never>>, argument: string) => Promise<number>;

function program(): Command {
  const root = new Command('fused-optim')
    .description('Fused neural-network optimizers for Node.js: looks at this machine, measures and shows.')
    .version(version(), '-v, --version', 'the version of the package')
    .helpOption('-h, --help', 'this text')
    .helpCommand(false)
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride()
    .addHelpText('after', '\nExit codes: 0 all is well, 1 something is wrong or has failed, 2 bad usage.');

  const command = (name: string, summary: string, run: Run): Command =>
    root
      .command(name)
      .description(summary)
      .helpOption('-h, --help', 'this text')
      .action(async function (this: Command) {
        const options = this.opts<Record<string, never>>();
        try {
          process.exitCode = await run(options, this.args[0] ?? '');
        } catch (error) {
          if (error instanceof UsageError) this.error(`error: ${error.message}`);
          const message = error instanceof Error ? error.message : String(error);
          note(message);
          if (options.json) printJson({ error: message });
          process.exitCode = exitCodes.failed;
        }
      });

  command(
    'doctor',
    'what this machine offers: CPU kernels, threads, CUDA; what is missing, and the fix',
    async (o) => (await import('./doctor/doctor.js')).doctor(o),
  ).addOption(json());

  command('inspect', 'what an optimizer file holds: tensors, dtypes, steps, groups, bytes', async (o, file) =>
    (await import('./inspect.js')).inspect(file, o),
  )
    .argument('<checkpoint>', 'a file that optimizer.save() wrote')
    .addOption(json());

  return root;
}

async function main(): Promise<void> {
  const root = program();
  try {
    if (process.argv.length <= 2) root.help({ error: true });
    await root.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? exitCodes.fine : exitCodes.usage;
  }
}

void main();
