'use strict';

// Builds and runs the native tests of the CUDA backend, test/native/cuda, on the stand-in for a GPU:
//   node scripts/test-cuda-native.js [--sanitize address,undefined | --sanitize thread] [case]
// `case` is a part of the names of the cases to run. The last line is "N passed, N failed".
//   node scripts/test-cuda-native.js --compiled [--architecture 90] [case]
// runs kernels as npm run build:cuda has compiled them, as scripts/test-cuda-host.js does; such a line each.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { capture } = require('../test/native/build');
const { coreObjects, hostBuild, objectName } = require('./build-cuda-host');
const { machineOptions, machinesOf } = require('./built-kernels');
const { core, flags, isas, kernels, root } = require('./sources');

const tests = 'test/native/cuda';
const { values, positionals } = parseArgs({
  options: { sanitize: { type: 'string', default: '' }, ...machineOptions },
  allowPositionals: true,
});
const sanitizers = values.sanitize.split(',').filter(Boolean);

async function buildTests(build) {
  // The CPU's core and kernels are in it too: the backend has to compute the same bits.
  const objects = [
    ...coreObjects(build),
    ...core.map((file) => build.object(objectName(file), file, build.common)),
    ...isas().flatMap((isa) =>
      kernels.map((file) =>
        build.object(`${objectName(file)}_${isa}`, file, [
          ...build.common,
          ...flags[isa],
          '-Wno-uninitialized',
          `-DFO_ISA=${isa}`,
        ]),
      ),
    ),
  ];
  // Libraries that look like NVIDIA's, to be found and loaded.
  const fake = (name, file, ...defines) => [
    `${name}.so`,
    build.object(name, `${tests}/${file}`, ['-x', 'c', ...defines]),
  ];
  const fakes = [
    fake('libcublas', 'fake_cublas.c'),
    fake('libnccl', 'fake_nccl.c'),
    fake('libnccl_old', 'fake_nccl.c', '-DFO_FAKE_NCCL_VERSION=21805'),
  ];
  await build.compile();
  const [cublas, nccl, oldNccl] = await Promise.all(
    fakes.map(([name, object]) => build.link(name, [object], ['-shared'])),
  );
  const testFlags = [
    ...flags.common,
    '-O1',
    `-DFO_FAKE_CUBLAS="${cublas}"`,
    `-DFO_FAKE_NCCL="${nccl}"`,
    `-DFO_OLD_NCCL="${oldNccl}"`,
  ];
  const searched = ['cublas_library', 'library_load', 'library_search', 'nccl_library'].map(
    (name) => `native/cuda/runtime/${name}.cpp`,
  );
  for (const file of searched) objects.push(build.object(objectName(file), file, build.common));
  for (const name of fs.readdirSync(path.join(root, tests)))
    if (name.endsWith('.cpp'))
      objects.push(build.object(`test_${objectName(name)}`, `${tests}/${name}`, testFlags));
  await build.compile();
  return build.link('test-cuda-native', objects, ['-ldl']);
}

async function main() {
  if (process.platform === 'win32')
    return console.log('native tests of the CUDA backend: skipped, they need a POSIX system');
  const started = Date.now();
  const program = await buildTests(hostBuild(sanitizers));
  console.log(`built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  // The runtimes of older sanitizers want their own addresses free of the system's random placement.
  const prefix =
    sanitizers.includes('thread') && capture(['setarch', '-R', 'true']).ok
      ? ['setarch', os.machine(), '-R']
      : [];
  const [command, ...args] = [...prefix, program, ...positionals];
  for (const { name, variables } of machinesOf(values)) {
    console.log(`kernels as ${name}`);
    const { status, signal, error } = spawnSync(command, args, {
      stdio: 'inherit',
      env: { ...process.env, UBSAN_OPTIONS: 'print_stacktrace=1', ...variables },
    });
    if (error) throw error;
    if (status !== 0) process.exitCode = 1;
    if (status !== 0 && status !== 1)
      console.log(`FAILED the tests ended with ${signal ?? `status ${status}`}\n0 passed, 1 failed`);
  }
}

main().catch((error) => {
  console.log(`${error.message}\n0 passed, 1 failed`);
  process.exitCode = 1;
});
