#!/usr/bin/env node
/** `npx fused-optim`: reads the command line and runs a command. Commands are loaded when they run. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import type { BenchOptions } from './bench/bench';
import type { LandscapeOptions } from './landscape/landscape';
import { landscapes } from './landscape/functions';
import { dtypes, roundings, stateDTypes } from '../dtypes';
import { chartFile, jsonObject, oneOf, positive, someOf, whole } from './lists';
import { optimizers } from './optimizers';
import { exitCodes, note, printJson } from './output';
import { formats } from './picture/files';
import { defaultFlops, networkNames, networksOption } from './plan/networks';
import type { PlanOptions } from './plan/plan';
import { presets, shapesOption } from './plan/shapes';

function version(): string {
  const manifest = readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

const json = (): Option => new Option('--json', 'one JSON value on standard output, and nothing else');

const list = (flags: string, known: Iterable<string>): Option => {
  const names = [...known];
  return new Option(flags, `${names.join(', ')} (default: all)`).argParser(someOf(names));
};

/** A command's function returns its exit code; what it throws is one sentence for the user. */
type Run<O> = (options: O & { readonly json?: boolean }, args: readonly string[]) => number | Promise<number>;

function program(): Command {
  const root = new Command('fused-optim')
    .description('Fused neural-network optimizers for Node.js: looks at this machine, measures and shows.')
    .version(version(), '-v, --version', 'the version of the package')
    .helpOption('-h, --help', 'this text')
    .helpCommand(false)
    .enablePositionalOptions() // what stands behind a command is the command's
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride()
    .addHelpText('after', '\nExit codes: 0 all is well, 1 something is wrong or has failed, 2 bad usage.');

  const command = <O = object>(name: string, summary: string, run: Run<O>): Command =>
    root
      .command(name)
      .description(summary)
      .helpOption('-h, --help', 'this text')
      .action(async function (this: Command) {
        const options = this.opts<O & { json?: boolean }>();
        try {
          process.exitCode = await run(options, this.args);
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error);
          note(message);
          if (options.json || this.args.includes('--json')) printJson({ error: message });
          process.exitCode = exitCodes.failed;
        }
      });

  command(
    'doctor',
    'what this machine offers: CPU kernels, threads, CUDA; what is missing, and the fix',
    async (o) => (await import('./doctor/doctor.js')).doctor(o),
  ).addOption(json());

  command(
    'inspect',
    'what an optimizer file holds: tensors, dtypes, steps, groups, bytes',
    async (o, [file]) => (await import('./inspect.js')).inspect(file!, o),
  )
    .argument('<checkpoint>', 'a file that optimizer.save() wrote')
    .addOption(json());

  command<LandscapeOptions>(
    'landscape',
    'runs the optimizers over test functions and draws their paths',
    async (o) => (await import('./landscape/landscape.js')).landscape(o),
  )
    .addOption(list('--functions <list>', landscapes.keys()))
    .addOption(list('--optimizers <list>', optimizers.keys()))
    .addOption(
      new Option('--steps <n>', 'steps each optimizer takes').default(300).argParser(whole(1, 100_000)),
    )
    .addOption(new Option('--seed <n>', 'of the noise').default(1).argParser(whole(0, 2 ** 31 - 1)))
    .addOption(
      new Option('--lr <x>', 'learning rate of all (default: the best of 26, for each)').argParser(positive),
    )
    .addOption(list('--format <list>', formats))
    .option('--out <folder>', 'where the pictures go', 'landscape')
    .addOption(json());

  command<BenchOptions>(
    'bench',
    'times every optimizer beside the streaming rate of this machine, with a chart',
    async (o) => (await import('./bench/bench.js')).bench(o),
  )
    .addOption(list('--optimizers <list>', optimizers.keys()))
    .addOption(
      new Option('--parameters <n>', 'numbers that a step updates')
        .default(16_000_000)
        .argParser(whole(1, 2 ** 31)),
    )
    .addOption(new Option('--threads <n>', 'of a step (default: as doctor says)').argParser(whole(1, 1024)))
    .addOption(
      new Option('--rounds <n>', 'rounds of each measurement').default(5).argParser(whole(1, 10_000)),
    )
    .option('--quick', 'three short rounds with 4 million parameters: rough, in seconds')
    .addOption(list('--format <list>', formats))
    .option('--out <path>', 'the chart, without .svg and .png', 'fused-optim-bench')
    .addOption(json());

  command<PlanOptions>('plan', 'what sharding an optimizer among ranks saves and costs', async (o) =>
    (await import('./plan/plan.js')).plan(o),
  )
    .addOption(
      new Option('--shapes <what>', `${presets.join(', ')}, or a .json or .safetensors file`)
        .argParser(shapesOption)
        .makeOptionMandatory(),
    )
    .addOption(new Option('--ranks <n>', 'that share the state').default(8).argParser(whole(1, 65_536)))
    .addOption(
      new Option('--optimizer <name>', [...optimizers.keys()].join(', '))
        .default('AdamW')
        .argParser(oneOf([...optimizers.keys()])),
    )
    .addOption(
      new Option('--options <json>', `the optimizer's own, such as '{"amsgrad":true}'`).argParser(jsonObject),
    )
    .addOption(
      new Option('--stage <n>', '1: gradients are all-reduced; 2: reduce-scattered')
        .default('1')
        .choices(['1', '2']),
    )
    .addOption(new Option('--dtype <dtype>', 'of parameters').default('float32').choices(dtypes))
    .addOption(new Option('--grads <dtype>', 'of gradients (default: that of parameters)').choices(dtypes))
    .addOption(new Option('--rounding <way>', 'of 16-bit parameters').choices(roundings))
    .addOption(new Option('--state-dtype <dtype>', 'of states').choices(stateDTypes))
    .addOption(
      new Option('--network <list>', `${networkNames.join(', ')}, or GB/s (default: all of these)`).argParser(
        networksOption,
      ),
    )
    .addOption(
      new Option('--flops <x>', 'TFLOP/s of Newton–Schulz').default(defaultFlops).argParser(positive),
    )
    .addOption(new Option('--chart <file>', 'a picture, .svg or .png').argParser(chartFile))
    .option('--all', 'every rank')
    .addOption(json());

  command(
    'demo',
    'trains a small GPT on real text; options are those of the demo (demo --help)',
    async (_, args) => (await import('./demo.js')).demo(args),
  )
    .argument('[options...]')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions();

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
