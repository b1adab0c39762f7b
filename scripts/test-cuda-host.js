'use strict';

// Builds the CUDA addon over the stand-in for a GPU, with sanitizers, and runs the JavaScript tests of the backend
// on it: test/cuda, and the golden trajectories, which every optimizer's test file also runs in CUDA memory.
//   node scripts/test-cuda-host.js [--sanitize address,undefined | --sanitize ''] [--skip part] [part of a path...]
// Parts of test files' paths say which files to run; --skip which not.
//   node scripts/test-cuda-host.js --compiled [--architecture 90] [--skip part] [part of a path...]
// runs kernels as npm run build:cuda has compiled them, by interpreting their PTX: those for one architecture, or for
// each that was built. Without sanitizers, unless they are asked for.
// FUSED_OPTIM_CUDA_ADDON runs them on that addon instead. The last line is "N passed, N failed".

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { capture } = require('../test/native/build');
const { buildAddon, hostBuild } = require('./build-cuda-host');
const { machineOptions, machinesOf } = require('./built-kernels');
const { root } = require('./sources');

const { values, positionals } = parseArgs({
  options: {
    sanitize: { type: 'string' },
    skip: { type: 'string' },
    ...machineOptions,
  },
  allowPositionals: true,
});
const sanitizers = (values.sanitize ?? (values.compiled ? '' : 'address,undefined'))
  .split(',')
  .filter(Boolean);

/** Every file that has tests of CUDA memory. */
function testFiles() {
  const inDirectory = (directory) =>
    fs
      .readdirSync(path.join(root, directory))
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => path.join(directory, name));
  const all = ['test/cuda', 'test/optimizers', 'test'].flatMap(inDirectory).filter((file) => {
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    return /helpers\/(cuda|golden)'/.test(text) && !(values.skip && file.includes(values.skip));
  });
  return positionals.length > 0 ? all.filter((file) => positionals.some((part) => file.includes(part))) : all;
}

/** The sanitizer's runtime, which has to be in the process before everything else. */
function runtimeOf(build) {
  const names = ['libasan.so', `libclang_rt.asan-${os.machine()}.so`, 'libclang_rt.asan.so'];
  return names
    .map((name) => capture([...build.compiler, `-print-file-name=${name}`]).stdout.trim())
    .find((file) => path.isAbsolute(file) && fs.existsSync(file));
}

async function main() {
  if (process.platform !== 'linux')
    return console.log(`tests on the stand-in for a GPU: skipped, this is ${process.platform}`);
  const environment = { ...process.env };
  if (!environment.FUSED_OPTIM_CUDA_ADDON) {
    const build = hostBuild(sanitizers);
    environment.FUSED_OPTIM_CUDA_ADDON = await buildAddon(build);
    const runtime = sanitizers.includes('address') ? runtimeOf(build) : undefined;
    if (runtime) environment.LD_PRELOAD = runtime;
    // Node and V8 keep memory until the process ends: that is no leak of ours.
    environment.ASAN_OPTIONS = 'detect_leaks=0:allocator_may_return_null=1';
    environment.UBSAN_OPTIONS = 'print_stacktrace=1';
  }
  // Tests of an addon that does not load are skipped, one and all.
  const loads = spawnSync(
    process.execPath,
    ['-e', `require(${JSON.stringify(environment.FUSED_OPTIM_CUDA_ADDON)})`],
    {
      cwd: root,
      encoding: 'utf8',
      env: environment,
    },
  );
  if (loads.status !== 0) throw new Error(`The addon does not load: ${loads.stderr.trim()}`);
  // Other files have tests of the CPU too, which have had their turn.
  const [own, shared] = [true, false].map((isOwn) =>
    testFiles().filter((file) => file.startsWith('test/cuda') === isOwn),
  );
  const totals = { passed: 0, failed: 0 };
  for (const { name, variables } of machinesOf(values)) {
    console.log(`kernels as ${name}`);
    const all = { ...environment, ...variables };
    if (own.length > 0) run(own, [], all, totals);
    if (shared.length > 0) run(shared, ['--testNamePattern', 'in CUDA memory'], all, totals);
  }
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  if (totals.failed > 0) process.exitCode = 1;
}

/** Runs jest on test files, and adds up what became of their tests. */
function run(files, options, environment, totals) {
  const report = path.join(os.tmpdir(), `fused-optim-cuda-host-${process.pid}.json`);
  const jest = path.join(path.dirname(require.resolve('jest/package.json')), 'bin', 'jest.js');
  const common = ['--runInBand', '--silent', '--testTimeout', '300000', '--json', '--outputFile', report];
  const { status, signal } = spawnSync(
    process.execPath,
    [jest, ...common, ...options, '--runTestsByPath', ...files],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], env: environment },
  );
  const result = fs.existsSync(report) ? JSON.parse(fs.readFileSync(report, 'utf8')) : undefined;
  fs.rmSync(report, { force: true });
  const failed = (result?.numFailedTests ?? 0) + (result?.numRuntimeErrorTestSuites ?? 0);
  totals.passed += result?.numPassedTests ?? 0;
  totals.failed += failed;
  if (result && (status === 0 || failed > 0)) return;
  totals.failed += 1;
  console.log(`FAILED the tests ended with ${signal ?? `status ${status}`}`);
}

main().catch((error) => {
  console.log(`${error.message}\n0 passed, 1 failed`);
  process.exitCode = 1;
});
