'use strict';

// What npm run build:cuda last left of its kernels: for each source ptxas's report and the PTX of each architecture, in
// build-cuda/reports/ (scripts/report-kernels.js).

const fs = require('node:fs');
const path = require('node:path');
const { listedDependencies, modified } = require('../test/native/build');
const { cuda, root } = require('./sources');

/** Where reports are, of which sources, and for which GPUs; CMake's names of these are such as 80-real. */
function lastBuild() {
  const directory = path.join(root, 'build-cuda');
  const cache = path.join(directory, 'CMakeCache.txt');
  if (!fs.existsSync(cache))
    throw new Error(`Expected ${cache} but there is none; run npm run build:cuda first.`);
  const [, list] = /^FO_CUDA_ARCHITECTURES:\w+=(.*)$/m.exec(fs.readFileSync(cache, 'utf8')) ?? [];
  const names = (list ?? '').split(';').filter((name) => name && !name.endsWith('-virtual'));
  const architectures = names.map((name) => `sm_${name.replace('-real', '')}`);
  const addon = path.join(directory, 'Release', 'fused_optim_cuda.node');
  return { directory: path.join(directory, 'reports'), sources: cuda.kernels, architectures, addon };
}

/**
 * What is known of a source: the file of ptxas's report, and its PTX, a map from architectures to { file, text }. Throws
 * where the source has changed since.
 */
function reportOf(directory, source) {
  const { name } = path.parse(source);
  const folder = path.join(directory, name);
  const report = path.join(folder, 'ptxas.txt');
  if (!fs.existsSync(report))
    throw new Error(
      `${source}: expected ptxas's report in ${folder} but there is none; remove that build and repeat it.`,
    );
  const newer = listedDependencies(path.join(folder, `${name}.d`)).find(
    (file) => modified(file) > modified(report),
  );
  if (newer) throw new Error(`${source}: its report is older than ${newer}; compile it again.`);
  // Of a single architecture nvcc puts nothing into the name of the file.
  const ptx = new Map();
  for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.ptx'))) {
    const file = path.join(folder, name);
    const text = fs.readFileSync(file, 'utf8');
    ptx.set(/^\.target (\w+)/m.exec(text)?.[1], { file, text });
  }
  return { report, ptx };
}

/** The PTX of all kernels for `sm_90` and the like, as the stand-in for a GPU takes it. */
function compiledKernels({ directory, sources, architectures }, architecture) {
  const files = sources.map((source) => {
    const own = reportOf(directory, source).ptx.get(architecture);
    if (!own)
      throw new Error(
        `Expected one of ${architectures.join(', ')}, which were built last, but received ${architecture}.`,
      );
    return own.file;
  });
  return files.join(':');
}

/** Options of programs that run kernels on the stand-in, for parseArgs(). */
const machineOptions = {
  compiled: { type: 'boolean', default: false },
  architecture: { type: 'string' },
};

/** What kernels are run as, one after the other: { name, variables }, the latter to be set in the environment. */
function machinesOf({ compiled, architecture }) {
  if (!compiled) return [{ name: 'host code', variables: {} }];
  const build = lastBuild();
  const architectures = architecture === undefined ? build.architectures : [`sm_${architecture}`];
  return architectures.map((name) => ({
    name: `compiled for ${name}`,
    variables: { FUSED_OPTIM_STAND_IN_PTX: compiledKernels(build, name) },
  }));
}

module.exports = { lastBuild, machineOptions, machinesOf, reportOf };
