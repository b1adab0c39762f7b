'use strict';

// Builds and runs the native tests of test/native; objects are kept in build-native-test*/.
//   node scripts/test-native.js [--sanitize address,undefined | --sanitize thread] [--qemu] [case]
//
// --sanitize address,... also runs test/conformance.test.ts on an addon built with these sanitizers.
// --qemu also runs them on older CPUs, emulated by qemu-x86_64, and compares what is computed there.
// `case` is a part of the names of the cases to run. The last line is "N passed, N failed".

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Build, capture, findCompiler, sanitizerFlags, withoutLocals } = require('../test/native/build');
const { core, defines, flags, isas, kernels, node: nodeSources, root } = require('./sources');

const tests = path.join(root, 'test', 'native');
const { values: options, positionals } = parseArgs({
  options: { sanitize: { type: 'string', default: '' }, qemu: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const sanitizers = options.sanitize.split(',').filter(Boolean);
const totals = { passed: 0, failed: 0 };

// The shipped flags, but for what makes a sanitizer's reports readable and its compilation bearable.
const common = [...flags.common, ...(sanitizers.length > 0 ? ['-O1'] : [])];
// The tests themselves need no speed, and only native/ is searched for undefined behaviour.
const testFlags = [
  ...flags.common,
  '-O1',
  ...(sanitizers.includes('undefined') ? ['-fno-sanitize=undefined'] : []),
];

const skip = (what, why) => console.log(`${what}: skipped, ${why}`);
const fail = (what) => {
  console.log(`FAILED ${what}`);
  totals.failed += 1;
};

/** Runs a test program, shows what it prints and adds up its last line. */
function runCounted(what, [command, ...args], environment = {}) {
  const started = Date.now();
  const { status, signal, stdout, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  });
  const lines = (stdout ?? '').split('\n').filter((line) => !line.startsWith('ok '));
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(stdout ?? '') ?? [];
  console.log(lines.join('\n').trim().replace(/^/gm, '  '));
  console.log(`${what}: ${((Date.now() - started) / 1000).toFixed(1)} s`);
  totals.passed += Number(passed ?? 0);
  totals.failed += Number(failed ?? 0);
  if (error || passed === undefined || (status !== 0 && failed === '0'))
    fail(`${what}: ${error?.message ?? `ended with ${signal ?? `status ${status}`}`}`);
}

/** How to start a program built with these sanitizers, or undefined after saying why none can run here. */
function launcher(build) {
  if (sanitizers.length === 0) return [];
  fs.mkdirSync(build.directory, { recursive: true });
  const source = path.join(build.directory, 'empty.cpp');
  const program = path.join(build.directory, 'empty');
  fs.writeFileSync(source, 'int main() {}\n');
  const built = capture([...build.compiler, ...build.flags, source, '-o', program]);
  if (!built.ok) return skip(options.sanitize, `the compiler has no runtime for it: ${built.reason}`);
  // The runtimes of older compilers want their own addresses free of the system's random placement.
  const ways = [[], ['setarch', os.machine(), '-R']];
  const way = ways.find((prefix) => capture([...prefix, program]).ok);
  return way ?? skip(options.sanitize, `its runtime does not start here: ${capture([program]).reason}`);
}

/** Which instruction set to emulate: AVX-512, where the CPU has only AVX2 and SIMDe is installed. */
async function emulation(build, runnable) {
  if (!isas().includes('avx512') || runnable.includes('avx512')) return undefined;
  // Compiling SIMDe with sanitizers takes minutes; guard pages watch over its loads and stores either way.
  if (sanitizers.length > 0)
    return skip('avx512', 'this CPU lacks it, and it is not emulated under sanitizers');
  if (!runnable.includes('avx2')) return skip('avx512', 'this CPU lacks it, and AVX2 to emulate it on');
  const header = path.join(tests, 'emulated_avx512.h');
  const simde = capture([
    ...build.compiler,
    '-std=c++17',
    ...flags.avx2,
    '-E',
    '-x',
    'c++',
    header,
    '-o',
    os.devNull,
  ]);
  if (!simde.ok)
    return skip('avx512', 'this CPU lacks it, and SIMDe, to emulate it, is not installed (libsimde-dev)');
  console.log('avx512: this CPU lacks it; emulated with SIMDe on AVX2');
  return { isa: 'avx512', flags: [...flags.avx2, '-O1', '-Wno-psabi', '-include', header] };
}

// The scalar kernels, the same source, have every check; the others keep those of memory that is loaded and stored.
const lighterFlags = sanitizers.includes('address')
  ? ['-fno-sanitize=undefined', ...withoutLocals(findCompiler() ?? [])]
  : [];
const lighter = (isa) => (isa === 'scalar' ? [] : lighterFlags);

/** Flags of one instruction set's objects. */
function isaFlags(isa, emulated) {
  const own = emulated?.isa === isa ? emulated.flags : flags[isa];
  // GCC warns of what its own AVX-512 header leaves undefined on purpose.
  return [...common, ...own, ...lighter(isa), '-Wno-uninitialized', `-DFO_ISA=${isa}`];
}

async function buildTests(build) {
  const coreObjects = core.map((file) => build.object(path.parse(file).name, file, common));
  const probeObject = build.object('probe', 'test/native/probe.cpp', testFlags);
  await build.compile();
  const probe = await build.link('probe', [probeObject, coreObjects[core.indexOf('native/cpu/isa.cpp')]]);
  const runnable = capture([...build.launch, probe]).stdout.split('\n');
  const emulated = await emulation(build, runnable);

  const own = emulated ? [`-DFO_EMULATED="${emulated.isa}"`] : [];
  const objects = [...coreObjects];
  for (const isa of isas()) {
    const suffix = emulated?.isa === isa ? `${isa}_emulated` : isa;
    for (const file of kernels)
      objects.push(build.object(`${path.parse(file).name}_${suffix}`, file, isaFlags(isa, emulated)));
    objects.push(build.object(`vec_ops_${suffix}`, 'test/native/vec_ops.cpp', isaFlags(isa, emulated)));
  }
  for (const name of fs.readdirSync(tests))
    if (/_test\.cpp$|^main\.cpp$/.test(name))
      objects.push(build.object(path.parse(name).name, `test/native/${name}`, [...testFlags, ...own]));
  await build.compile();
  return build.link('test-native', objects);
}

/** The addon with sanitizers: the core's objects again, Node's half, and the kernels as they ship. */
async function buildAddon(build) {
  const include = [require('node-addon-api').include_dir, require('node-api-headers').include_dir];
  const nodeDefines = [...defines.node, 'NODE_GYP_MODULE_NAME=fused_optim', 'BUILDING_NODE_EXTENSION'];
  const nodeFlags = include.flatMap((directory) => ['-isystem', path.resolve(root, directory)]);
  nodeFlags.push(...nodeDefines.map((define) => `-D${define}`));
  const objects = [
    ...core.map((file) => build.object(path.parse(file).name, file, common)),
    ...nodeSources.map((file) => build.object(path.parse(file).name, file, [...common, ...nodeFlags])),
    ...isas().flatMap((isa) =>
      kernels.map((file) => build.object(`${path.parse(file).name}_${isa}`, file, isaFlags(isa))),
    ),
  ];
  await build.compile();
  return build.link('fused_optim.node', objects, ['-shared', '-Wl,-z,nodelete', '-ldl']);
}

/** test/conformance.test.ts in a Node that has loaded the sanitizer's runtime before everything else. */
async function conformance(build, environment) {
  const what = `test/conformance.test.ts under ${options.sanitize}`;
  if (process.platform !== 'linux') return skip(what, `LD_PRELOAD is needed and this is ${process.platform}`);
  const names = ['libasan.so', `libclang_rt.asan-${os.machine()}.so`, 'libclang_rt.asan.so'];
  const runtime = names
    .map((name) => capture([...build.compiler, `-print-file-name=${name}`]).stdout.trim())
    .find((file) => path.isAbsolute(file) && fs.existsSync(file));
  if (!runtime) return skip(what, 'the compiler has no shared ASan runtime');
  const addon = await buildAddon(build);
  const report = path.join(build.directory, 'jest.json');
  fs.rmSync(report, { force: true });
  const started = Date.now();
  const [command, ...args] = [
    ...build.launch,
    process.execPath,
    path.join(path.dirname(require.resolve('jest/package.json')), 'bin', 'jest.js'),
    ...['--config', path.join(tests, 'jest.asan.config.js'), '--runInBand', '--silent'],
    ...['--json', '--outputFile', report, '--runTestsByPath', path.join(root, 'test', 'conformance.test.ts')],
  ];
  const { status, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...environment, LD_PRELOAD: runtime, FO_SANITIZED_ADDON: addon },
  });
  const result = fs.existsSync(report) ? JSON.parse(fs.readFileSync(report, 'utf8')) : undefined;
  const passed = result?.numPassedTests ?? 0;
  const failed = (result?.numFailedTests ?? 0) + (result?.numRuntimeErrorTestSuites ?? 0);
  console.log(`${what}: ${passed} passed, ${failed} failed; ${((Date.now() - started) / 1000).toFixed(1)} s`);
  totals.passed += passed;
  totals.failed += failed;
  if (!result || (status !== 0 && failed === 0)) fail(`${what}: ended with ${signal ?? `status ${status}`}`);
}

// Older x86 CPUs: without AVX, with AVX alone, with AVX2 but another libm path than here. The last one's tests do not
// run in qemu, whose masked loads touch memory they should not; it shows that AVX2 is chosen, and the same bits.
const cpuModels = [
  { name: 'Nehalem', isa: 'scalar', tests: true },
  { name: 'SandyBridge', isa: 'scalar', tests: false },
  { name: 'Haswell', isa: 'avx2', tests: false },
];

/** The tests on older CPUs, and what is computed there beside what is computed here. */
function qemu(program) {
  if (process.arch !== 'x64') return skip('older CPUs', `qemu-x86_64 is for x64 and this is ${process.arch}`);
  if (spawnSync('qemu-x86_64', ['--version']).status !== 0)
    return skip('older CPUs', 'qemu-x86_64 is not installed (qemu-user)');
  // A line a rule: name, digest, instruction set.
  const digests = (command) =>
    capture([...command, '--digest'])
      .stdout.trim()
      .split('\n')
      .map((line) => line.split(' '));
  const here = digests([program]);
  for (const { name, isa, tests: all } of cpuModels) {
    const emulator = ['qemu-x86_64', '-cpu', name, program];
    if (all) runCounted(`${name}`, [...emulator, '--quick', ...positionals]);
    const there = digests(emulator);
    const wrong = here.filter(([rule, digest], i) => there[i]?.join() !== [rule, digest, isa].join());
    if (wrong.length > 0)
      fail(`${name}: expected ${isa} and this machine's bits for ${wrong.map(([rule]) => rule)}`);
    else totals.passed += 1;
    console.log(
      `${name}: ${there[0]?.[2]} is chosen; ${here.length - wrong.length} of ${here.length} rules give the same bits as here`,
    );
  }
}

async function main() {
  const compiler = findCompiler();
  if (process.platform === 'win32') return skip('native tests', 'they need a POSIX system');
  if (!compiler) return skip('native tests', 'there is no C++ compiler');
  const directory = path.join(root, ['build-native-test', ...sanitizers].join('-'));
  const build = new Build(compiler, directory, ['-fPIC', '-pthread', ...sanitizerFlags(sanitizers)]);
  build.launch = launcher(build);
  if (!build.launch) return;

  const started = Date.now();
  const program = await buildTests(build);
  console.log(`built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  // Node and the standard library keep memory until the process ends: that is no leak of ours.
  const environment = {
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  // A thread checker makes everything an order of magnitude slower.
  const quick = sanitizers.includes('thread') ? ['--quick'] : [];
  const what = ['native tests', ...sanitizers].join(' ');
  runCounted(what, [...build.launch, program, ...quick, ...positionals], environment);
  if (sanitizers.includes('address') && positionals.length === 0) await conformance(build, environment);
  if (options.qemu) qemu(program);
}

main()
  .catch((error) => fail(error.message))
  .finally(() => {
    console.log(`${totals.passed} passed, ${totals.failed} failed`);
    if (totals.failed > 0) process.exitCode = 1;
  });
