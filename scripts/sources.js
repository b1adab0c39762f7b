'use strict';

// The one list of native sources and compiler flags, native/sources.json, for whoever builds from it:
//   node scripts/sources.js core           prints the files of a list, one a line (binding.gyp)
//   node scripts/sources.js flags.avx2     prints the flags of an instruction set
//   require('./sources').isas('x64')       the instruction sets of a CPU architecture
// CMake reads the JSON file itself.

const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const file = path.join(root, 'native', 'sources.json');
const sources = JSON.parse(fs.readFileSync(file, 'utf8'));

/** The instruction sets that have a kernel target on `arch`, weakest first. */
function isas(arch = process.arch) {
  return sources.isas[arch] ?? sources.isas.other;
}

/** The strings under a dotted key. */
function list(key) {
  const found = key.split('.').reduce((value, part) => value?.[part], sources);
  const strings = typeof found === 'string' ? [found] : found;
  if (!Array.isArray(strings)) {
    throw new Error(`native/sources.json has no list "${key}".`);
  }
  return strings;
}

if (require.main === module) {
  try {
    console.log(list(process.argv[2] ?? '').join('\n'));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}

module.exports = { ...sources, isas, list, root };
