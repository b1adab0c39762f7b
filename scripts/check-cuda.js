'use strict';

// Fails when a CUDA kernel is over budget: spilled registers, more than 64 registers, float64 instructions in a float32
// kernel, narrow loads or stores in a plain update.
//   node scripts/check-cuda.js --built      all kernels, as the last npm run build:cuda has compiled them
//   node scripts/check-cuda.js [--architectures 80,90] [part of a file's name]     compiles what has changed, itself
//
// What nvcc and ptxas said is kept in build-cuda/reports/ or build-cuda-check/ by scripts/report-kernels.js.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Build } = require('../test/native/build');
const { lastBuild, reportOf } = require('./built-kernels');
const { describe, parsePtx, parseReport, problemsOf } = require('./cuda-report');
const { cuda, cudaArchitectures, flags, root } = require('./sources');

const { values: options, positionals } = parseArgs({
  options: {
    architectures: { type: 'string', default: cudaArchitectures.map((name) => parseInt(name)).join(',') },
    built: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

/** As lastBuild(), of a build of its own, without the addon. */
async function compile() {
  const sources = cuda.kernels.filter((file) => positionals.every((part) => file.includes(part)));
  if (sources.length === 0) throw new Error(`No kernel source has "${positionals}" in its name.`);
  const numbers = options.architectures.split(',');
  const targets = numbers.map((number) => `-gencode=arch=compute_${number},code=sm_${number}`);
  const directory = path.join(root, 'build-cuda-check');
  const compiler = [process.execPath, path.join(__dirname, 'report-kernels.js'), directory, 'nvcc'];
  const build = new Build(compiler, directory, flags.nvcc);
  for (const source of sources) build.object(path.parse(source).name, source, targets);
  await build.compile();
  return { directory, sources, architectures: numbers.map((number) => `sm_${number}`) };
}

/** Kernels in the reports of a source, all of them: [{ symbol, architecture, registers, ..., ptx }] */
function readKernels(directory, source, architectures) {
  const { report, ptx: files } = reportOf(directory, source);
  const ptx = new Map(Array.from(files, ([architecture, { text }]) => [architecture, parsePtx(text)]));
  const kernels = parseReport(fs.readFileSync(report, 'utf8'));
  for (const architecture of architectures)
    if (!kernels.some((kernel) => kernel.architecture === architecture))
      throw new Error(`${source}: expected kernels for ${architecture} in its report but found none.`);
  return kernels.map((kernel) => ({ ...kernel, ptx: ptx.get(kernel.architecture)?.get(kernel.symbol) }));
}

/** Readable names: a map from symbols. */
function demangle(symbols) {
  const { status, stdout, error } = spawnSync('c++filt', {
    input: symbols.join('\n'),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`c++filt failed: ${error?.message ?? `status ${status}`}.`);
  const names = stdout.split('\n');
  return new Map(symbols.map((symbol, i) => [symbol, names[i]]));
}

/** A line a kernel: registers for each architecture, and wide accesses of the first. */
function printTable(kernels, heads) {
  const rows = new Map();
  for (const kernel of kernels) {
    const { short } = describe(kernel.name);
    if (!rows.has(short)) rows.set(short, {});
    rows.get(short)[kernel.architecture] = kernel;
  }
  const width = Math.max(...[...rows.keys()].map((name) => name.length));
  const line = (name, cells) =>
    console.log(`${name.padEnd(width)}  ${cells.map((cell) => String(cell).padStart(6)).join(' ')}`);
  line('registers', [...heads, 'spills', 'stack', 'loads', 'stores']);
  const most = (cells, key) => Math.max(...cells.map((kernel) => kernel[key] ?? 0));
  for (const [short, row] of [...rows].sort()) {
    const cells = Object.values(row);
    const { ptx = { loads: '?', stores: '?' } } = cells[0];
    line(short, [
      ...heads.map((head) => row[head]?.registers ?? '-'),
      most(cells, 'spillStores'),
      most(cells, 'stack'),
      ptx.loads,
      ptx.stores,
    ]);
  }
}

async function main() {
  if (!options.built && spawnSync('nvcc', ['--version']).status !== 0)
    return console.log('check-cuda: nothing was checked, there is no nvcc on PATH.');
  const { directory, sources, architectures, addon } = options.built ? lastBuild() : await compile();
  const text = addon && fs.readFileSync(addon, 'latin1');
  if (architectures.length === 0) throw new Error('check-cuda: expected code for a GPU but found none.');
  const kernels = sources.flatMap((source) => readKernels(directory, source, architectures));
  const names = demangle([...new Set(kernels.map(({ symbol }) => symbol))]);
  for (const kernel of kernels) kernel.name = names.get(kernel.symbol);
  printTable(kernels, architectures);
  const problems = kernels.flatMap(problemsOf);
  // Host code asks for kernels by name. A type in it that differs from GPU to GPU would make others of them.
  for (const { symbol, name, architecture } of kernels)
    if (text && !text.includes(`${symbol}\0`))
      problems.push(
        `${describe(name).short} for ${architecture}: expected the addon to name it but it does not.`,
      );
  for (const problem of problems) console.error(problem);
  const said = `check-cuda: ${kernels.length} kernels for ${architectures.join(', ')}`;
  if (problems.length > 0) throw new Error(`${said}: ${problems.length} problems.`);
  console.log(`${said}: all within budget.`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
