'use strict';

// The programs of test/helpers/children-mpi on ranks whose MPI addon is built with AddressSanitizer and
// UndefinedBehaviorSanitizer; dist/ is the package they use. The last line is "N passed, N failed".
//   node scripts/test-mpi-asan.js
// An MPI keeps memory until the process ends, from plug-ins that are gone when leaks are looked for, which no list of
// suppressions can name: a leak counts where this addon is in the stack that allocated it.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { capture, findCompiler } = require('../test/native/build');
const { root } = require('./sources');

const children = path.join(root, 'test', 'helpers', 'children-mpi');
const addon = path.join(root, 'build-mpi-address-undefined', 'Release', 'fused_optim_mpi.node');
const totals = { passed: 0, failed: 0 };

const well = / checks, 0 problems$/;
const left = / but rank 1 has left: /;
/** Number of ranks, program, and what comes of it: the status of mpirun, and a line of each rank that prints. */
const jobs = [
  [4, ['collectives.js'], 0, well],
  [2, ['refusals.js'], 0, well],
  [2, ['--expose-gc', 'memory.js'], 0, well],
  [2, ['worker.js'], 0, /another thread has already called it\.$/],
  [3, ['ends.js', 'exit', '1'], 0, left],
  [3, ['ends.js', 'end', '1'], 0, left],
  [3, ['ends.js', 'close', '1'], 0, left],
  [3, ['ends.js', 'begun', '1'], 0, /: right$/],
  [3, ['ends.js', 'timeout', '1'], 0, / but rank 1 did not\.$/],
  [3, ['ends.js', 'status', '1'], 7, / ended with status 7, and the other ranks with it\.$/],
];

/** The runtime of the compiler that the wrapper calls, which Node has to load first; throws where there is none. */
function findRuntime() {
  const compiler = (process.env.MPICXX ?? 'mpicxx').trim().split(/\s+/);
  const names = ['libasan.so', `libclang_rt.asan-${os.machine()}.so`, 'libclang_rt.asan.so'];
  const found = [compiler, findCompiler() ?? []]
    .filter((words) => words.length > 0)
    .flatMap((words) => names.map((name) => capture([...words, `-print-file-name=${name}`]).stdout ?? ''))
    .map((file) => file.trim())
    .find((file) => path.isAbsolute(file) && fs.existsSync(file));
  if (found) return found;
  throw new Error('the compiler has no shared ASan runtime');
}

/** What a sanitizer found, if anything. */
function finding(output) {
  const error = /^.*(?:ERROR: AddressSanitizer|runtime error:|AddressSanitizer:DEADLYSIGNAL).*$/m.exec(
    output,
  )?.[0];
  if (error) return error;
  const reports = output.split(/\n(?=(?:Direct|Indirect) leak of)/).slice(1);
  const own = reports.map((report) => report.split('\n\n')[0]).find(isOurs);
  return own && `memory of the addon is lost:\n${own}`;
}

/** Whether this addon itself asked for memory, and not Node on its behalf. */
function isOurs(report) {
  const above = report.split('native/distributed')[0];
  return above.length < report.length && !above.includes(`(${fs.realpathSync(process.execPath)}`);
}

function runJob(runtime, [size, program, expected, line]) {
  const started = Date.now();
  // A process that is ended in the middle has to give nothing back.
  const leaks = program[0] === 'ends.js' ? 0 : 1;
  const { status, stdout, stderr } = spawnSync(
    'mpirun',
    ['--oversubscribe', '-n', `${size}`, 'env', `LD_PRELOAD=${runtime}`, process.execPath, ...program],
    {
      cwd: children,
      encoding: 'utf8',
      timeout: 120_000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 28,
      env: {
        ...process.env,
        OMPI_ALLOW_RUN_AS_ROOT: '1',
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
        FUSED_OPTIM_MPI_ADDON: addon,
        // Freed memory is given back soon, so that a program can tell what it uses.
        ASAN_OPTIONS: `detect_leaks=${leaks}:allocator_may_return_null=1:quarantine_size_mb=1`,
        LSAN_OPTIONS: 'exitcode=0',
        UBSAN_OPTIONS: 'print_stacktrace=1',
      },
    },
  );
  const output = stdout + stderr;
  const lines = output.split('\n').filter((text) => /^(?:rank|fused-optim: rank) \d/.test(text));
  const wrong = lines.find((text) => !line.test(text));
  let problem = finding(output);
  if (!problem && status !== expected) problem = `ended with ${status}; expected ${expected}.\n${output}`;
  if (!problem && (wrong ?? lines.length === 0)) problem = `printed ${wrong ?? 'nothing'}`;
  totals[problem ? 'failed' : 'passed'] += 1;
  const what = `${size} x ${program.join(' ')}: ${((Date.now() - started) / 1000).toFixed(1)} s`;
  console.log(problem ? `FAILED ${what}: ${problem}` : what);
}

function main() {
  const reason =
    process.platform !== 'linux'
      ? `LD_PRELOAD is needed and this is ${process.platform}`
      : spawnSync('mpirun', ['--version']).status !== 0
        ? 'there is no mpirun (Debian: openmpi-bin)'
        : '';
  if (reason) return console.log(`mpi() under sanitizers: skipped, ${reason}`);
  const build = path.join(__dirname, 'build-mpi.js');
  const { status } = spawnSync(process.execPath, [build, '--sanitize', 'address,undefined'], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('the MPI addon could not be built');
  const runtime = findRuntime();
  for (const job of jobs) runJob(runtime, job);
}

try {
  main();
} catch (error) {
  totals.failed += 1;
  console.log(`FAILED mpi() under sanitizers: ${error.message}`);
}
console.log(`${totals.passed} passed, ${totals.failed} failed`);
if (totals.failed > 0) process.exitCode = 1;
