/** Checks commands of a shell block against what there is: npm scripts, commands of the CLI, files, options. */
import fs from 'node:fs';
import path from 'node:path';
import { root } from '../scratch';

const read = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');
const manifest = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
};

/** Where the options of a command are defined. */
const definitions: Readonly<Record<string, readonly string[]>> = {
  'fused-optim': ['lib/cli/main.ts'],
  'fused-optim demo': ['examples/gpt/options.ts'],
  demo: ['examples/gpt/options.ts'],
  'demo:tfjs': ['examples/tfjs-mnist-like/options.ts'],
  bench: ['bench/options.ts'],
  'bench:tfjs': ['bench/tfjs.ts'],
  'bench:sharded': ['bench/sharded.ts'],
  'bench:gpu': ['bench/gpu/options.ts'],
  'test:gpu': ['scripts/test-gpu.js'],
  'pack:gpu': ['scripts/pack-gpu.js'],
  'build:cuda': ['scripts/build-cuda.js'],
  'test:cuda-native': ['scripts/test-native.js', 'scripts/test-cuda-native.js'],
  lint: ['scripts/lint.js'],
};

/** Commands that cannot be checked here, and why. The whole command, from its first word. */
export const unchecked: readonly (readonly [RegExp, string])[] = [
  [/^sh run\.sh (test|bench|all|build)\b/, 'runs in a pack: test/house/gpu-scripts.test.ts'],
  [/^pip install [\w .-]+$/, "Python's packages, which no test installs"],
  [/^tail -\w+( \d+)?$/, 'a tool of the system'],
  [/^apt-get install -y [\w+ -]+$/, 'a tool of the system'],
  [/^cd [\w./-]+$/, 'where the commands below it run'],
  [/^npm start$/, 'test/examples/native-addon.test.ts runs that package'],
  [/^mpirun -n \d node train\.mjs$/, 'test/distributed/mpi.test.ts runs it'],
  [/^(torchrun|srun|mpirun) [-\w ]+ node train\.js$/, 'a launcher of ranks, which is not installed here'],
  [/^git clone \S+$/, 'the network'],
];

/** Commands of a block: comments and prompts gone, lines joined at a backslash, pipes and lists taken apart. */
export const commandsIn = (text: string): string[] =>
  text
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .flatMap((line) => line.split(/\s*(?:&&|\|\||[|;])\s*/))
    .filter((command) => command !== '');

const knows = (name: string, option: string): boolean => {
  const text = definitions[name]!.map(read).join('\n');
  const word = option.replace(/^--/, '');
  return [`'${word}'`, `${word}:`, `--${word}`, `'--${word}'`].some((form) => text.includes(form));
};

function options(name: string, words: readonly string[]): string | undefined {
  const given = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]!);
  const own = given.filter((option) => option !== '--help');
  if (own.length > 0 && !(name in definitions)) return `no options of "${name}" are known`;
  const unknown = own.find((option) => !knows(name, option));
  return unknown && `"${name}" has no option ${unknown}`;
}

function cli([command, ...rest]: readonly string[]): string | undefined {
  const commands = [...read('lib/cli/main.ts').matchAll(/command(?:<[^>]*>)?\(\s*'(\w+)/g)].map(
    ([, name]) => name!,
  );
  if (command === undefined || !commands.includes(command)) return `fused-optim has no command "${command}"`;
  return options(command === 'demo' ? 'fused-optim demo' : 'fused-optim', rest);
}

function npm([verb, ...rest]: readonly string[]): string | undefined {
  if (verb === 'ci') return undefined;
  if (verb === 'test') return undefined;
  if (verb === 'rebuild' || verb === 'install') {
    const known = [
      'fused-optim',
      ...['dependencies', 'devDependencies', 'peerDependencies'].flatMap((kind) =>
        Object.keys(manifest[kind as 'dependencies']),
      ),
    ];
    const unknown = rest.find((name) => !known.includes(name));
    return unknown && `no package "${unknown}" is known here`;
  }
  if (verb !== 'run') return `"npm ${verb}" is not known`;
  const [script, dashes, ...args] = rest.filter((word) => word !== '--silent');
  if (script === undefined || !(script in manifest.scripts)) return `there is no npm script "${script}"`;
  if (dashes !== undefined && dashes !== '--') return `options of npm run ${script} stand behind --`;
  return options(script, args);
}

const exists = (file: string | undefined): string | undefined =>
  file !== undefined && fs.existsSync(path.join(root, file)) ? undefined : `there is no file ${file}`;

/** The program that a launcher starts, with options of its own before it. */
function ranks(command: string, rest: readonly string[]): string | undefined {
  const at = rest.indexOf('node');
  if (at < 0) return `"${command}" starts no program that can be checked`;
  if (rest[at + 1] === 'scripts/demo.js') return options('demo', rest.slice(at + 2));
  return problemOf(rest.slice(at).join(' '));
}

/** What is wrong with a command; undefined where nothing is. */
export function problemOf(command: string): string | undefined {
  if (unchecked.some(([pattern]) => pattern.test(command))) return undefined;
  const words = command.split(/\s+/);
  while (/^[A-Z_]+=/.test(words[0] ?? '')) {
    const variable = words.shift()!.split('=')[0]!;
    const named = ['README.md', 'docs/gpu.md'].some((document) => read(document).includes(variable));
    if (!named) return `no variable ${variable} is documented`;
    if (unchecked.some(([pattern]) => pattern.test(words.join(' ')))) return undefined;
  }
  const [program, ...rest] = words;
  if (program === 'mpirun') return ranks(command, rest);
  if (program === 'npm') return npm(rest);
  if (program === 'npx' && rest[0] === 'fused-optim') return cli(rest.slice(1));
  if (program === 'npx' && rest[0] === 'jest') return exists(rest[1]);
  if (program === 'node' && rest[0] === '-r') return exists(rest[2]);
  if (program === 'node' || program === 'python3') return exists(rest[0]);
  // Beside the README that says so.
  if (program === 'python') return exists(`examples/torch-interop/${rest[0]}`);
  return `"${program}" is no program that can be checked`;
}
