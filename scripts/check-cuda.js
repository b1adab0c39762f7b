'use strict';

// Compiles the CUDA kernels and fails when one is over budget: spilled registers, more than 64 registers,
// float64 instructions in a float32 kernel, narrow loads or stores in a plain update.
//   node scripts/check-cuda.js [--architectures 80,90] [--verbose] [part of a file's name]
//   node scripts/check-cuda.js --read directory      judges reports that are there, x.sm_90.txt with x.sm_90.ptx
//
// What nvcc and ptxas said is kept in build-cuda-check/ and used again until a source changes.

const { spawn, spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { describe, parsePtx, parseReport, problemsOf } = require('./cuda-report');
const { cuda, cudaArchitectures, flags, root } = require('./sources');

const directory = path.join(root, 'build-cuda-check');
const { values: options, positionals } = parseArgs({
  options: {
    architectures: { type: 'string', default: cudaArchitectures.map((name) => parseInt(name)).join(',') },
    verbose: { type: 'boolean', default: false },
    read: { type: 'string' },
  },
  allowPositionals: true,
});

// Templates make compilers talk for pages.
const mostErrorLines = 40;

/** Runs a command; its output, or an error that holds the beginning of it. */
function output(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root });
    let text = '';
    child.stdout.on('data', (data) => (text += data));
    child.stderr.on('data', (data) => (text += data));
    child.on('error', reject);
    child.on('close', (status) =>
      status === 0
        ? resolve(text)
        : reject(
            new Error(
              `${command} ${args.join(' ')} failed:\n${text.split('\n').slice(0, mostErrorLines).join('\n')}`,
            ),
          ),
    );
  });
}

/** A digest of a text, for the names of kept files. */
const digest = (text) => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** PTX and ptxas's report of a source for an architecture, kept by the text that the preprocessor makes of it. */
async function compile({ source, architecture }) {
  const name = `${path.parse(source).name}.sm_${architecture}`;
  const command = [...flags.nvcc, `-arch=compute_${architecture}`, source];
  const started = Date.now();
  const key = digest(
    `${await output('nvcc', ['-E', ...command])}${command}${await output('ptxas', ['--version'])}`,
  );
  const ptxFile = path.join(directory, `${name}.${key}.ptx`);
  const reportFile = ptxFile.replace(/ptx$/, 'txt');
  if (!fs.existsSync(reportFile)) {
    for (const old of fs.readdirSync(directory))
      if (old.startsWith(`${name}.`)) fs.rmSync(path.join(directory, old), { force: true });
    await output('nvcc', ['-ptx', ...command, '-o', ptxFile]);
    const args = ['-v', `-arch=sm_${architecture}`, ptxFile, '-o', os.devNull];
    const report = await output('ptxas', args);
    fs.writeFileSync(reportFile, report);
  }
  if (options.verbose) console.log(`${name}: ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return readKernels(reportFile, ptxFile, `sm_${architecture}`);
}

function readKernels(reportFile, ptxFile, architecture) {
  const ptx = parsePtx(fs.readFileSync(ptxFile, 'utf8'));
  return parseReport(fs.readFileSync(reportFile, 'utf8')).map((kernel) => ({
    ...kernel,
    architecture,
    ptx: ptx.get(kernel.symbol),
  }));
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

/** Kernels of all sources that are asked for, compiled. */
async function compileAll() {
  const architectures = options.architectures.split(',');
  const sources = cuda.kernels.filter((file) => positionals.every((part) => file.includes(part)));
  if (sources.length === 0) throw new Error(`No kernel source has "${positionals}" in its name.`);
  fs.mkdirSync(directory, { recursive: true });
  const jobs = sources.flatMap((source) => architectures.map((architecture) => ({ source, architecture })));
  const kernels = [];
  const next = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) kernels.push(...(await compile(job)));
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, next));
  return kernels;
}

/** Kernels of the reports in a directory. */
function readAll(from) {
  return fs
    .readdirSync(from)
    .map((name) => /^(.*\.(sm_\w+))\.txt$/.exec(name))
    .filter(Boolean)
    .flatMap(([report, name, architecture]) =>
      readKernels(path.join(from, report), path.join(from, `${name}.ptx`), architecture),
    );
}

async function main() {
  if (!options.read && spawnSync('nvcc', ['--version']).status !== 0)
    return console.log('check-cuda: nothing was checked, there is no nvcc on PATH.');
  const kernels = options.read ? readAll(options.read) : await compileAll();
  if (kernels.length === 0) throw new Error('check-cuda: expected reports of kernels but found none.');
  const names = demangle([...new Set(kernels.map(({ symbol }) => symbol))]);
  for (const kernel of kernels) kernel.name = names.get(kernel.symbol);
  const architectures = [...new Set(kernels.map(({ architecture }) => architecture))].sort();
  printTable(kernels, architectures);
  const problems = kernels.flatMap(problemsOf);
  for (const problem of problems) console.error(problem);
  const said = `check-cuda: ${kernels.length} kernels for ${architectures.join(', ')}`;
  if (problems.length > 0) throw new Error(`${said}: ${problems.length} problems.`);
  console.log(`${said}: all within budget.`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
