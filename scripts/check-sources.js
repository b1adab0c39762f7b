'use strict';

// Fails when the list in native/sources.json, the files under native/ and the two build files disagree:
//   node scripts/check-sources.js [root]

const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(process.argv[2] ?? path.join(__dirname, '..'));
const source = /\.(?:c|cc|cpp|cxx|cu|m|mm)$/;

/** Every string in the JSON value that names a source file. */
function namedSources(value) {
  if (typeof value === 'string') return source.test(value) ? [value] : [];
  return value && typeof value === 'object' ? Object.values(value).flatMap(namedSources) : [];
}

function sourcesUnder(directory) {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && source.test(entry.name))
    .map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)))
    .map((file) => file.split(path.sep).join('/'));
}

/** Names of source files written into a build file itself, comments apart. */
function literalSources(file) {
  const text = fs.readFileSync(path.join(root, file), 'utf8').replace(/#.*$/gm, '');
  return text.match(/[\w./-]+\.(?:c|cc|cpp|cxx|cu|mm?)\b/g) ?? [];
}

function findProblems() {
  const list = JSON.parse(fs.readFileSync(path.join(root, 'native', 'sources.json'), 'utf8'));
  // What the CUDA and the MPI addon take from the CPU's lists: names of files that have to stand there too.
  const { shared = [], ...cuda } = list.cuda ?? {};
  const { shared: sharedWithMpi = [], ...mpi } = list.mpi ?? {};
  const own = [...namedSources(list.core), ...namedSources(list.node)];
  if (list.cuda) list.cuda = cuda;
  if (list.mpi) list.mpi = mpi;
  const named = namedSources(list);
  const present = sourcesUnder(path.join(root, 'native'));
  const problems = [];

  for (const file of named) {
    if (!fs.existsSync(path.join(root, file)))
      problems.push(`native/sources.json names ${file}, which does not exist.`);
  }
  for (const file of new Set(named)) {
    if (named.filter((other) => other === file).length > 1)
      problems.push(`native/sources.json names ${file} twice.`);
  }
  for (const [file, addon] of [
    ...shared.map((name) => [name, 'CUDA']),
    ...sharedWithMpi.map((name) => [name, 'MPI']),
  ]) {
    if (!own.includes(file))
      problems.push(
        `native/sources.json shares ${file} with ${addon}, but it is in neither "core" nor "node".`,
      );
  }
  for (const file of namedSources(cuda)) {
    if (file.endsWith('.cu') !== (cuda.kernels ?? []).includes(file))
      problems.push(
        `native/sources.json names ${file} in the wrong list: "cuda.kernels" holds the .cu files.`,
      );
  }
  for (const file of present) {
    if (!named.includes(file))
      problems.push(`${file} is in no list of native/sources.json, so no build compiles it.`);
  }
  for (const file of ['binding.gyp', 'CMakeLists.txt', 'native/cuda/addon.cmake']) {
    if (!fs.existsSync(path.join(root, file))) continue;
    for (const name of literalSources(file)) {
      problems.push(`${file} names ${name} itself; sources belong in native/sources.json.`);
    }
  }
  // CMake loops over the instruction sets; gyp cannot, so its targets are written out.
  const gyp = fs.readFileSync(path.join(root, 'binding.gyp'), 'utf8');
  for (const isa of new Set(Object.values(list.isas).flat())) {
    if (!Array.isArray(list.flags[isa])) problems.push(`native/sources.json has no flags for ${isa}.`);
    if (!gyp.includes(`"kernels_${isa}"`)) problems.push(`binding.gyp has no target "kernels_${isa}".`);
  }
  return { problems, count: present.length };
}

const { problems, count } = findProblems();
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else
  console.log(
    `check-sources: ${count} native sources, each in native/sources.json; both builds read that list.`,
  );
