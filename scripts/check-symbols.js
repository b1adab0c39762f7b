'use strict';

// Fails when a kernel object holds a weak symbol or exports anything but its one entry point:
//   node scripts/check-symbols.js [directory, .o or .node file]...     (default: build/Release)
//
// Of an addon, a .node file, it reads what the addon exports: Node's two entry points, and nothing of the
// libraries that are linked into it, which could get in the way of another copy in the process.
//
// The same source is compiled once per instruction set. Were an inline function of it a weak symbol, the
// linker would keep one copy for all of them, perhaps the AVX-512 one, and an older CPU would crash in it.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { isas, root } = require('./sources');

const exported = /^[A-TX-Z]$/; // nm's upper case letters, but for U (undefined) and the weak V and W
// Of another machine's objects: $NM.
const nmProgram = process.env.NM ?? 'nm';
const weak = /^[WwVvu]$/;

/** Every object file under `start` that belongs to a target called kernels_<isa>, with its instruction set. */
function kernelObjects(start) {
  const files = fs.statSync(start).isDirectory()
    ? fs.readdirSync(start, { recursive: true }).map((name) => path.join(start, name))
    : [start];
  return files
    .filter((file) => file.endsWith('.o'))
    .map((file) => ({ file, isa: /(?:^|[\\/])kernels_(\w+?)(?:\.dir)?(?:\.o$|[\\/])/.exec(file)?.[1] }))
    .filter(({ isa }) => isa);
}

function problemsOf({ file, isa }) {
  const nm = spawnSync(nmProgram, ['-C', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (nm.status !== 0) return [`nm failed on ${file}: ${nm.stderr.trim()}`];
  // kernels.cpp exports fo_kernels_<isa>, and so on; files beside each other may have the name in theirs.
  const source = path.basename(file).split('.')[0].replace(`_${isa}`, '');
  const expected = `fo_${source}_${isa}`;
  const problems = [];
  let found = false;
  for (const line of nm.stdout.split('\n')) {
    const [, type, name] = /^[0-9a-f]* *([A-Za-z?-]) (.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    if (weak.test(type)) problems.push(`${file}: weak symbol ${name} (${type})`);
    else if (exported.test(type)) {
      if (name.replace(/\(.*$/, '') === expected) found = true;
      else problems.push(`${file}: exports ${name} (${type}), expected only ${expected}`);
    }
  }
  if (!found) problems.push(`${file}: does not export ${expected}`);
  return problems;
}

const entryPoints = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** What an addon exports and should not, or should and does not. */
function addonProblemsOf(file) {
  const nm = spawnSync(nmProgram, ['-DC', '--defined-only', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (nm.status !== 0) return [`nm failed on ${file}: ${nm.stderr.trim()}`];
  const strong = nm.stdout
    .split('\n')
    .map((line) => /^[0-9a-f]* *([A-Za-z?-]) (.*)$/.exec(line))
    .filter((match) => match && exported.test(match[1]))
    .map(([, , name]) => name);
  const problems = strong
    .filter((name) => !entryPoints.includes(name))
    .map((name) => `${file}: exports ${name}, expected only ${entryPoints.join(' and ')}`);
  if (!strong.includes(entryPoints[0])) problems.push(`${file}: does not export ${entryPoints[0]}`);
  if (problems.length === 0) console.log(`check-symbols: ${file} exports its entry points only.`);
  return problems;
}

function check(starts) {
  const missing = starts.filter((start) => !fs.existsSync(start));
  if (missing.length > 0)
    return [`${missing.join(', ')} does not exist: build first (npm run build:native).`];
  const addons = starts.filter((start) => start.endsWith('.node'));
  const addonProblems = addons.flatMap(addonProblemsOf);
  if (addons.length > 0 && addons.length === starts.length) return addonProblems;
  const objects = starts.filter((start) => !addons.includes(start)).flatMap(kernelObjects);
  if (objects.length === 0)
    return [`No kernel object under ${starts.join(', ')}: build first (npm run build:native).`];
  const problems = [...addonProblems, ...objects.flatMap(problemsOf)];
  if (problems.length === 0)
    console.log(
      `check-symbols: ${objects.length} objects (${[...new Set(objects.map(({ isa }) => isa))].join(', ')}): one symbol each, none weak.`,
    );
  return problems;
}

if (process.platform !== 'linux') {
  console.log(
    `check-symbols: nothing was checked, the rules are those of ELF objects and this is ${process.platform}.`,
  );
} else if (spawnSync(nmProgram, ['--version']).error) {
  console.log('check-symbols: nothing was checked, nm is not installed here.');
} else {
  const given = process.argv.slice(2);
  const build = path.join(root, 'build', 'Release');
  const problems = check(given.length > 0 ? given : [build]);
  if (given.length === 0 && problems.length === 0) {
    const found = new Set(kernelObjects(build).map(({ isa }) => isa));
    for (const isa of isas()) if (!found.has(isa)) problems.push(`${build} has no kernel object for ${isa}.`);
  }
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
