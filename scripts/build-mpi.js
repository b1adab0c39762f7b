'use strict';

// Builds the MPI addon, build-mpi/Release/fused_optim_mpi.node, where there is a compiler wrapper of an MPI:
//   node scripts/build-mpi.js [--sanitize address,undefined]
// The wrapper is $MPICXX or mpicxx. With sanitizers the addon is build-mpi-address-undefined/Release/..., which
// FUSED_OPTIM_MPI_ADDON=<path> makes the package load. Nothing else of the package needs it: it is also run at a
// user's, who has neither test/ nor development dependencies.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { defines, flags, mpi, root } = require('./sources');

const howToInstall =
  "on Debian and Ubuntu: apt-get install libopenmpi-dev openmpi-bin; elsewhere an MPI's package for developers, or MPICXX=<its wrapper>";

/** The words of the wrapper's command. */
function findWrapper() {
  const wrapper = (process.env.MPICXX ?? '').trim() || 'mpicxx';
  const words = wrapper.split(/\s+/);
  const { error, status } = spawnSync(words[0], [...words.slice(1), '--version'], { stdio: 'ignore' });
  if (!error && status === 0) return words;
  throw new Error(
    `Expected ${wrapper} to be an MPI compiler wrapper that runs but ${error ? 'it was not found' : `it ended with status ${status}`}: ` +
      `install one (${howToInstall}).`,
  );
}

/** The folder of node_api.h: an npm package, what lies beside Node, or what node-gyp has kept. */
function findNodeHeaders() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const nodeDir = process.env.npm_config_nodedir ?? process.env.npm_package_config_node_gyp_nodedir;
  const cache = path.join(os.homedir(), '.cache', 'node-gyp', process.versions.node);
  const folders = [nodeDir, prefix, cache].filter(Boolean).map((base) => path.join(base, 'include', 'node'));
  try {
    folders.unshift(path.resolve(root, require('node-api-headers').include_dir));
  } catch {
    // Only a checkout has it.
  }
  const found = folders.find((folder) => fs.existsSync(path.join(folder, 'node_api.h')));
  if (found) return found;
  throw new Error(
    `Expected Node's headers in one of ${folders.join(', ')} but there is no node_api.h: npm install node-api-headers, or set npm_config_nodedir to where Node is installed.`,
  );
}

function build(sanitizers) {
  const wrapper = findWrapper();
  const folder = path.join(root, ['build-mpi', ...sanitizers].join('-'), 'Release');
  const addon = path.join(folder, 'fused_optim_mpi.node');
  const include = [findNodeHeaders(), path.resolve(root, require('node-addon-api').include_dir)];
  // Objects of Node come without the type information that `vptr` reads.
  const checks = [`-fsanitize=${sanitizers.join(',')}`, '-fno-sanitize=vptr', '-fno-sanitize-recover=all'];
  const own = sanitizers.length > 0 ? [...checks, '-g', '-O1', '-fno-omit-frame-pointer'] : ['-s'];
  const names = [...defines.node, 'NODE_GYP_MODULE_NAME=fused_optim_mpi', 'BUILDING_NODE_EXTENSION'];
  const args = [
    ...['-shared', '-fPIC', ...flags.common, ...own],
    // The C++ bindings of MPI, which some wrappers still link, are not used.
    ...['-DOMPI_SKIP_MPICXX', '-DMPICH_SKIP_MPICXX', '-Wl,--as-needed'],
    ...names.map((name) => `-D${name}`),
    ...include.flatMap((directory) => ['-isystem', directory]),
    ...mpi.shared,
    ...mpi.own,
    ...['-Wl,-z,nodelete', '-ldl', '-o', addon],
  ];
  fs.mkdirSync(folder, { recursive: true });
  const { status, error } = spawnSync(wrapper[0], [...wrapper.slice(1), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${wrapper.join(' ')} ended with status ${status}.`);
  return addon;
}

try {
  const { values } = parseArgs({ options: { sanitize: { type: 'string', default: '' } } });
  const addon = build(values.sanitize.split(',').filter(Boolean));
  console.log(`${path.relative(root, addon)}: ${fs.statSync(addon).size.toLocaleString('en')} bytes`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
