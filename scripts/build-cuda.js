'use strict';

// Builds the CUDA addon with cmake-js, build-cuda/Release/fused_optim_cuda.node, and checks its size; what nvcc said of
// its kernels is in build-cuda/reports/, for npm run check:cuda -- --built:
//   node scripts/build-cuda.js [--architectures 90-real,...] [--jobs n]
//
// Architectures are CMake's: 90 is code for sm_90 and PTX that later GPUs can translate, 90-real is the code
// alone. Without the option they are those of native/sources.json, which is what ships.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const zlib = require('node:zlib');
const { cudaArchitectures, root } = require('./sources');

const mostBytes = 4 * 2 ** 20;
const addon = path.join(root, 'build-cuda', 'Release', 'fused_optim_cuda.node');

const { values: options } = parseArgs({
  options: {
    architectures: { type: 'string', default: cudaArchitectures.join(',') },
    jobs: { type: 'string', default: '2' },
  },
});

function build() {
  const script = path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js');
  const args = ['-O', 'build-cuda', '-p', options.jobs, '--target', 'fused_optim_cuda'];
  args.push('--CDFO_CUDA=ON', `--CDFO_CUDA_ARCHITECTURES=${options.architectures.split(',').join(';')}`);
  const reporter = path.join(__dirname, 'report-kernels.js');
  const launcher = [process.execPath, reporter, path.join(root, 'build-cuda', 'reports')];
  args.push(`--CDCMAKE_CUDA_COMPILER_LAUNCHER=${launcher.join(';')}`);
  // A build alone would go on with the architectures that the folder was configured for.
  for (const command of ['configure', 'build']) {
    const all = [script, command, ...args];
    const { status, error } = spawnSync(process.execPath, all, { cwd: root, stdio: 'inherit' });
    if (error) throw error;
    if (status !== 0) throw new Error(`cmake-js ${command} ended with status ${status}.`);
  }
}

/** Size of the addon; a package that brings it, which is compressed, may grow by no more than `mostBytes`. */
function checkSize() {
  const bytes = (size) => size.toLocaleString('en');
  const file = fs.readFileSync(addon);
  const packed = zlib.gzipSync(file, { level: 9 }).length;
  const said =
    `${path.relative(root, addon)}: ${bytes(file.length)} bytes for ${options.architectures}, ` +
    `${bytes(packed)} in a package`;
  if (packed > mostBytes) throw new Error(`${said}; expected at most ${bytes(mostBytes)}.`);
  console.log(`${said}; at most ${bytes(mostBytes)} are allowed.`);
}

try {
  build();
  checkSize();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
