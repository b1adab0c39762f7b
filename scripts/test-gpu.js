'use strict';

// Proves the CUDA backend on the first GPU: npm run test:gpu, see docs/gpu.md.
//   node scripts/test-gpu.js [--only kernels,suites,sanitizers] [--tools memcheck,...] [--budget seconds]
//     [--out file.json] [--stand-in]
//
// kernels: every kernel on small tensors; with a graph, without, and on the CPU. suites: jest's tests of CUDA memory.
// sanitizers: compute-sanitizer's four tools over the kernels. Without a GPU it says so and ends well.
// --stand-in lets this processor play the GPU, to try the script. The last line is "N passed, N failed".

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { commit } = require('./commit');
const { cudaHere, jestArguments, program, root, runCommand } = require('./gpu/programs');
const { sanitize, toolNames } = require('./gpu/sanitize');

const started = Date.now();
const tell = (text) => console.log(text);

function kernels({ left }) {
  const run = runCommand(process.execPath, program('test/gpu/every-kernel'), { seconds: left() });
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(run.output) ?? [];
  const lines = run.output.split('\n').filter((line) => line.startsWith('FAILED'));
  if (passed !== undefined && (run.status === 0 || failed !== '0'))
    return { passed: Number(passed), failed: Number(failed), output: lines.slice(0, 60).join('\n') };
  return {
    passed: Number(passed ?? 0),
    failed: 1,
    output: `${run.ended}: ${run.output.trim().slice(-2000)}`,
  };
}

function suites({ left }) {
  const report = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'test-gpu-')), 'jest.json');
  const run = runCommand(process.execPath, jestArguments(report), { seconds: left() });
  if (!fs.existsSync(report))
    return { passed: 0, failed: 1, output: `jest ${run.ended}: ${run.output.slice(-2000)}` };
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, testResults } = JSON.parse(
    fs.readFileSync(report, 'utf8'),
  );
  const bad = testResults.filter(({ status }) => status === 'failed');
  const failed = numFailedTests + numRuntimeErrorTestSuites;
  return {
    passed: numPassedTests,
    failed: failed === 0 && run.status !== 0 ? 1 : failed,
    output: bad
      .map(({ name, message }) => `${path.relative(root, name)}\n${message.slice(0, 2000)}`)
      .join('\n'),
  };
}

const parts = { kernels, suites, sanitizers: sanitize };

/** The words of an option that names some of a list. */
function listed(value, option, known) {
  const words = value.split(',').map((word) => word.trim());
  const unknown = words.find((word) => !known.includes(word));
  if (unknown === undefined) return words;
  throw new RangeError(`Expected ${option} to name some of ${known.join(', ')} but received "${unknown}".`);
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(parts).join() },
      tools: { type: 'string', default: toolNames.join() },
      budget: { type: 'string', default: '540' },
      out: { type: 'string' },
      'stand-in': { type: 'boolean', default: false },
    },
  });
  const only = listed(values.only, '--only', Object.keys(parts));
  const tools = listed(values.tools, '--tools', toolNames);
  const budget = Number(values.budget);
  if (!(budget > 0))
    throw new RangeError(`Expected --budget to be seconds above 0 but received "${values.budget}".`);
  return { only, tools, budget, out: values.out, standIn: values['stand-in'] };
}

/** Why nothing can be tested; undefined where it can. */
function refusal({ available, reason, devices }, standIn) {
  if (!available) return reason.replaceAll(/\s*\n\s*/g, ' ');
  const played = /stand-in/i.test(devices[0].name);
  if (played && !standIn) return 'the CUDA addon is the stand-in, which --stand-in is for';
  return standIn && !played ? '--stand-in was asked for, but the CUDA addon drives a GPU' : undefined;
}

function runPart(name, left, { standIn, tools }) {
  if (left() < 5) return { name, passed: 0, failed: 0, reason: 'the time is used up', seconds: 0 };
  if (name === 'sanitizers' && standIn)
    return { name, passed: 0, failed: 0, reason: 'the stand-in has no GPU to watch', seconds: 0 };
  tell(`\n=== ${name}`);
  const begun = Date.now();
  const result = parts[name]({ left, tell, names: tools });
  return { name, ...result, seconds: (Date.now() - begun) / 1000 };
}

function main() {
  const options = readOptions();
  const cuda = cudaHere();
  const reason = refusal(cuda, options.standIn);
  if (reason) return tell(`test:gpu: skipped, ${reason}\n0 passed, 0 failed`);
  const date = new Date(started).toISOString();
  const [device] = cuda.devices;
  const nvcc = /release ([\d.]+)/.exec(runCommand('nvcc', ['--version']).output)?.[1] ?? null;
  const facts = {
    device,
    driver: cuda.driver,
    cublas: cuda.cublas,
    nccl: cuda.nccl,
    nvcc,
    node: process.version,
    commit: commit(),
    date,
  };
  tell(
    `${device.name}, driver ${cuda.driver}, cuBLAS ${cuda.cublas ?? 'not found'}, NCCL ${cuda.nccl ?? 'not found'}, nvcc ${nvcc ?? 'not found'}, ` +
      `Node ${process.version}, commit ${facts.commit ?? 'unknown'}, ${date}`,
  );
  const left = () => options.budget - (Date.now() - started) / 1000;
  const results = [];
  for (const name of options.only) {
    const result = runPart(name, left, options);
    if (result.output) tell(result.output.trimEnd());
    const why = result.reason ? `; skipped: ${result.reason}` : '';
    tell(`${name}: ${result.passed} passed, ${result.failed} failed, ${result.seconds.toFixed(1)} s${why}`);
    results.push(result);
  }
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  const slug = device.name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^nvidia-/, '');
  const directory = path.join(root, 'bench', options.standIn ? 'out' : 'results');
  const file = path.resolve(
    options.out ?? path.join(directory, `${date.slice(0, 10)}-${slug}-gpu-tests.json`),
  );
  const report = {
    schema: 1,
    onGpu: !options.standIn,
    ...facts,
    parts: results,
    passed: sum('passed'),
    failed: sum('failed'),
  };
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `${JSON.stringify(report, null, 1)}\n`);
  tell(`\nWritten: ${path.relative('', file)}\n${report.passed} passed, ${report.failed} failed`);
  if (report.failed > 0 || report.passed === 0) process.exitCode = 1;
}

try {
  main();
} catch (error) {
  console.error(
    error instanceof RangeError || error.code?.startsWith('ERR_PARSE_ARGS') ? error.message : error,
  );
  process.exitCode = 2;
}
