'use strict';

// Packs all that a bare machine with a GPU needs to run test:gpu and bench:gpu: no Node, no network, no compiler.
//   node scripts/pack-gpu.js [--out build-gpu] [--without-node] [--with-stand-in]
//
// It makes a folder of a few files, to be copied as it is; there `sh run.sh` unpacks and runs. The addons are those
// that are built here: npm run build:cuda first. docs/gpu.md says more. --without-node: the machine has a Node of its
// own. --with-stand-in: also the CUDA addon as host code, to try the pack where there is no GPU.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { closure } = require('./gpu/closure');
const { root } = require('./gpu/programs');
const { writeTree } = require('./gpu/tree');

/** A pack that is larger travels nowhere. */
const mostBytes = 64 * 2 ** 20;
const needed = ['jest', 'fastest-levenshtein', 'node-addon-api', 'node-api-headers'];
const cudaAddon = 'build-cuda/Release/fused_optim_cuda.node';
const standIn = 'build-cuda-host/fused_optim_cuda_host.node';
const unneeded = [
  '*.d.ts',
  '*.d.mts',
  '*.d.cts',
  '*.map',
  '*.md',
  '*-musl',
  '@types',
  'caniuse-lite/data/features',
  'caniuse-lite/data/regions',
];

function run(command, args, settings = {}) {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    ...settings,
  });
  if (error) throw new Error(`${command} could not be run: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ended with status ${status}.`);
}

function packFolder(folder, entries, archive, exclude = []) {
  const excludes = exclude.map((pattern) => `--exclude=${pattern}`);
  const list = entries.map((entry) => path.relative(folder, entry));
  // The list may be longer than a command line.
  const names = path.join(path.dirname(archive), 'names');
  fs.writeFileSync(names, list.join('\n'));
  run('tar', ['-C', folder, ...excludes, '-cJf', archive, '-T', names], {
    env: { ...process.env, XZ_OPT: process.env.XZ_OPT ?? '-6 -T0' },
  });
  fs.rmSync(names);
}

function packNode(out) {
  const copy = path.join(out, 'node');
  fs.copyFileSync(fs.realpathSync(process.execPath), copy);
  fs.chmodSync(copy, 0o755);
  // Without its symbols it is an eighth smaller, and addons still find what they need.
  if (spawnSync('strip', ['--strip-all', copy]).status !== 0)
    console.log('strip was not found: Node stays as it is.');
  const filter = process.arch === 'x64' ? ['--x86'] : [];
  run('xz', ['-T0', ...filter, '--lzma2=preset=6', copy]);
}

function main() {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: path.join(root, 'build-gpu') },
      'without-node': { type: 'boolean', default: false },
      'with-stand-in': { type: 'boolean', default: false },
    },
  });
  const out = path.resolve(values.out);
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out, { recursive: true });

  const tree = path.join(out, 'tree');
  const addons = ['build/Release/fused_optim.node', cudaAddon, ...(values['with-stand-in'] ? [standIn] : [])];
  const held = writeTree(tree, addons);
  const carried = path.join(__dirname, 'gpu', 'carried');
  fs.copyFileSync(path.join(carried, 'find_cublas.py'), path.join(tree, 'find_cublas.py'));
  packFolder(
    tree,
    fs.readdirSync(tree).map((name) => path.join(tree, name)),
    path.join(out, 'tree.tar.xz'),
  );
  fs.rmSync(tree, { recursive: true });

  // Paths as the tree sees them, also where node_modules is a link.
  const packages = closure(needed, fs.realpathSync(root));
  packFolder(fs.realpathSync(root), packages, path.join(out, 'modules.tar.xz'), unneeded);
  if (!values['without-node']) packNode(out);
  for (const name of ['run.sh', 'unpack.py']) fs.copyFileSync(path.join(carried, name), path.join(out, name));

  let total = 0;
  for (const name of fs.readdirSync(out)) {
    const { size } = fs.statSync(path.join(out, name));
    total += size;
    console.log(`${size.toLocaleString('en').padStart(12)}  ${name}`);
  }
  console.log(`${total.toLocaleString('en').padStart(12)}  in all, in ${path.relative('', out) || '.'}`);
  for (const addon of addons)
    if (!held.includes(addon)) console.log(`Not built here, so not in it: ${addon}`);
  if (total > mostBytes)
    throw new Error(`Expected a pack of at most ${mostBytes.toLocaleString('en')} bytes.`);
}

try {
  main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
