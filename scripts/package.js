'use strict';

// Makes the package that is published, fused-optim-<version>.tgz, with binaries for every platform whose compiler is here:
//   node scripts/package.js [--targets linux-x64,linux-arm64,...] [--cuda] [--binaries]
//
// --targets: these and no others, and it is an error when a compiler is missing. --cuda: also the CUDA addon of this
// machine's platform, which `npm run build:cuda` has built. --binaries: binaries only, no archive; `npm pack` and
// `npm publish` call it so, that no package goes out without them. Objects are kept in build-package/.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { root } = require('./sources');

const { values: options } = parseArgs({
  options: {
    targets: { type: 'string' },
    cuda: { type: 'boolean', default: false },
    binaries: { type: 'boolean', default: false },
  },
});

// Output of a program that runs inside `npm pack --json` must not get into that JSON.
const say = options.binaries ? console.error : console.log;
const inKilobytes = (bytes) => `${(bytes / 1000).toFixed(0)} kB`;

function run(command, args, settings = {}) {
  const { status, error, stdout } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    ...settings,
  });
  if (error) throw new Error(`${command} could not be run: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with status ${status}.`);
  return stdout;
}

function chosen(targets) {
  const names = options.targets?.split(',');
  for (const name of names ?? [])
    if (!targets.some((target) => target.name === name))
      throw new Error(
        `Expected --targets to be of ${targets.map((target) => target.name).join(', ')} but received "${name}".`,
      );
  return targets.filter(({ name }) => names?.includes(name) ?? true);
}

async function buildBinaries() {
  const { compilerOf, targets, tool } = require('./package/targets');
  const { buildBinary } = require('./package/binary');
  const { binaryProblems, glibcNeeded } = require('./package/checks');
  const wanted = chosen(targets);
  // What is left of an earlier run may be of older sources.
  fs.rmSync(path.join(root, 'prebuilds'), { recursive: true, force: true });
  let made = 0;
  for (const target of wanted) {
    const compiler = compilerOf(target);
    if (!compiler) {
      const missing = `${target.name}: none of its compilers is installed (${target.compilers.join(', ')})`;
      if (options.targets) throw new Error(missing);
      say(`${missing}; left out, installations there build from source.`);
      continue;
    }
    const file = await buildBinary(target);
    const nm = tool(compiler, 'nm');
    const problems = binaryProblems(file, target, nm);
    if (problems.length > 0) throw new Error(problems.join('\n'));
    const libc = target.glibc ? `glibc ${glibcNeeded(file, nm)} or later` : 'musl';
    say(
      `${target.name}: ${path.relative(root, file)}, ${inKilobytes(fs.statSync(file).size)}, needs ${libc}.`,
    );
    made += 1;
  }
  // Elsewhere no binary is shipped, and packing for a look at the archive must still work.
  if (made === 0 && process.platform === 'linux')
    throw new Error('No binary could be built: install a C++17 compiler (apt-get install g++).');
}

/** Opt-in, since most who install have no GPU: for them the package would be twice as large. */
function addCuda() {
  const { platformName } = require('../dist/platform');
  const { mostBytes } = require('./package/checks');
  const built = path.join(root, 'build-cuda', 'Release', 'fused_optim_cuda.node');
  if (!fs.existsSync(built))
    throw new Error(`--cuda: ${built} does not exist; npm run build:cuda builds it.`);
  const { size } = fs.statSync(built);
  if (size > mostBytes) throw new Error(`${built} has ${size} bytes; expected at most ${mostBytes}.`);
  fs.copyFileSync(built, path.join(root, 'prebuilds', platformName(), path.basename(built)));
  say(`CUDA: ${inKilobytes(size)}.`);
}

function pack() {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // Everything is built by now; npm's own scripts would do it again.
  const text = run(npm, ['pack', '--json', '--ignore-scripts', '--loglevel=error'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  const answer = JSON.parse(text);
  const [{ filename, size, unpackedSize, files }] = Array.isArray(answer) ? answer : Object.values(answer);
  const bytes = (pattern) => files.reduce((sum, file) => sum + (pattern.test(file.path) ? file.size : 0), 0);
  say(`${filename}: ${inKilobytes(size)}, unpacked ${inKilobytes(unpackedSize)} in ${files.length} files:`);
  say(`  JavaScript ${inKilobytes(bytes(/\.[mc]?js$/))}, types ${inKilobytes(bytes(/\.d\.[mc]?ts$/))},`);
  say(
    `  source maps ${inKilobytes(bytes(/\.map$/))} and what they point to ${inKilobytes(bytes(/^lib\//))},`,
  );
  say(`  native sources ${inKilobytes(bytes(/^native\//))}, binaries ${inKilobytes(bytes(/\.node$/))}`);
}

async function main() {
  if (!options.binaries || !fs.existsSync(path.join(root, 'dist', 'platform.js')))
    run(process.execPath, ['scripts/build-ts.js']);
  await buildBinaries();
  if (options.cuda) addCuda();
  if (!options.binaries) pack();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
