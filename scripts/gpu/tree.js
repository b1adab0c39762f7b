'use strict';

// The part of this repository that tests and measures on a GPU, with its TypeScript compiled, in another folder.

const fs = require('node:fs');
const path = require('node:path');
const ts = require('typescript');
const { commit } = require('../commit');
const { root } = require('./programs');

const folders = ['lib', 'bench', 'test', 'native', 'scripts/gpu'];
const files = ['scripts/test-gpu.js', 'scripts/commit.js', 'CMakeLists.txt', 'LICENSE'];
/** Needs compilers, a network or the whole repository; results are what a run makes. */
const left = [
  'test/house',
  'test/native',
  'test/examples',
  'test/types',
  'bench/results',
  'bench/out',
  'bench/native',
];

const options = {
  module: ts.ModuleKind.CommonJS,
  target: ts.ScriptTarget.ES2022,
  esModuleInterop: true,
};

function copyFile(file, target) {
  fs.mkdirSync(path.dirname(target), { recursive: true });
  if (!file.endsWith('.ts')) return fs.copyFileSync(file, target);
  if (file.endsWith('.d.ts')) return;
  const { outputText } = ts.transpileModule(fs.readFileSync(file, 'utf8'), { compilerOptions: options });
  fs.writeFileSync(target.replace(/\.ts$/, '.js'), outputText);
}

function copyFolder(folder, target) {
  for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (
        !left.includes(name) &&
        entry.name !== '__pycache__' &&
        entry.name !== 'node_modules' &&
        entry.name !== 'build'
      )
        copyFolder(name, target);
    } else copyFile(path.join(root, name), path.join(target, name));
  }
}

const jestConfig = `module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.js'],
  transform: {},
  moduleNameMapper: { '^fused-optim$': '<rootDir>/lib/index.js' },
};
`;

/** Writes the tree with the addons that are built; returns which of them it holds. */
function writeTree(target, addons) {
  for (const folder of folders) copyFolder(folder, target);
  for (const file of files) copyFile(path.join(root, file), path.join(target, file));
  fs.writeFileSync(path.join(target, 'jest.packed.config.js'), jestConfig);
  const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  const { name, version, type } = manifest;
  const bare = {
    name,
    version,
    type,
    private: true,
    main: './lib/index.js',
    exports: { '.': './lib/index.js' },
  };
  fs.writeFileSync(path.join(target, 'package.json'), `${JSON.stringify(bare, null, 2)}\n`);
  const held = addons.filter((addon) => fs.existsSync(path.join(root, addon)));
  for (const addon of held) copyFile(path.join(root, addon), path.join(target, addon));
  const about = { commit: commit(), packed: new Date().toISOString(), node: process.version, addons: held };
  fs.writeFileSync(path.join(target, 'gpu-pack.json'), `${JSON.stringify(about, null, 2)}\n`);
  return held;
}

module.exports = { writeTree };
