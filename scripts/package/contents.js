'use strict';

// What must hold of the files of a package, unpacked in a folder.

const fs = require('node:fs');
const { builtinModules } = require('node:module');
const path = require('node:path');
const { mostBytes } = require('./checks');
const { root } = require('../sources');

const mostJavaScript = 300_000;
const allowed = [
  /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|binding\.gyp|CMakeLists\.txt)$/,
  /^dist\/.*\.(?:m?js|d\.m?ts|map)$/,
  /^lib\/.*\.ts$/,
  /^native\/.*\.(?:cpp|h|cu|cuh|cmake|json|md)$/,
  /^prebuilds\/[\w-]+\/fused_optim(?:_cuda)?\.node$/,
  /^scripts\/(?:build-mpi|install|sources)\.js$/,
];
const needed = [
  'binding.gyp',
  'scripts/build-mpi.js',
  'scripts/install.js',
  'scripts/sources.js',
  'native/sources.json',
  'LICENSE',
  'README.md',
];

function filesUnder(folder) {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
    .map((name) => name.split(path.sep).join('/'));
}

/** Every file that a part of package.json names, with the keys that lead to it. */
function named(value, keys) {
  if (typeof value === 'string') return [[keys, value]];
  return Object.entries(value ?? {}).flatMap(([key, inner]) => named(inner, `${keys} › ${key}`));
}

function entryProblems(folder, manifest) {
  const entries = ['main', 'types', 'exports', 'bin'].flatMap((key) => named(manifest[key], key));
  return entries
    .filter(([, file]) => !fs.existsSync(path.join(folder, file)))
    .map(([keys, file]) => `package.json names ${file} (${keys}), which is not in the package.`);
}

function fileProblems(files) {
  const superfluous = files.filter((name) => !allowed.some((pattern) => pattern.test(name)));
  const sources = filesUnder(path.join(root, 'native')).filter((name) => /\.(?:cpp|h|json)$/.test(name));
  const missing = [...needed, ...sources.map((name) => `native/${name}`)].filter(
    (name) => !files.includes(name),
  );
  return [
    ...superfluous.map((name) => `${name} does not belong in the package.`),
    ...missing.map((name) => `${name} is missing: a build from source needs it.`),
  ];
}

function sizeProblems(folder, files) {
  const size = (name) => fs.statSync(path.join(folder, name)).size;
  const script = files.filter((name) => /\.[cm]?js$/.test(name)).reduce((sum, name) => sum + size(name), 0);
  const problems = files
    .filter((name) => name.endsWith('.node') && size(name) > mostBytes)
    .map((name) => `${name} has ${size(name)} bytes; expected at most ${mostBytes}.`);
  if (script >= mostJavaScript)
    problems.push(`The JavaScript has ${script} bytes; expected fewer than ${mostJavaScript}.`);
  return problems;
}

/** Modules that a file asks for, by require(), import() or an import statement. */
function requested(text) {
  const forms = [/\b(?:require|import)\(\s*["']([^"'\n]+)["']\s*\)/g, /\bfrom\s*["']([^"'\n]+)["']/g];
  return forms.flatMap((form) => [...text.matchAll(form)].map(([, name]) => name));
}

function importProblems(name, text, files, manifest) {
  const offered = {
    ...manifest.dependencies,
    ...manifest.peerDependencies,
    ...manifest.optionalDependencies,
  };
  return requested(text).flatMap((module) => {
    if (module.startsWith('.')) {
      const file = path.posix.join(path.posix.dirname(name), module);
      const forms = ['', '.js', '.json', '.d.ts', '/index.js', '/index.d.ts'].map((ending) => file + ending);
      return forms.some((form) => files.includes(form))
        ? []
        : [`${name} imports ${module}, which is not in the package.`];
    }
    if (module.startsWith('node:') || builtinModules.includes(module)) return [];
    const [, own] = /^((?:@[^/]+\/)?[^/]+)/.exec(module);
    return own in offered || own === manifest.name
      ? []
      : [`${name} imports ${own}, which no user gets installed.`];
  });
}

function mapProblems(name, text, files) {
  return JSON.parse(text)
    .sources.map((source) => path.posix.join(path.posix.dirname(name), source))
    .filter((source) => !files.includes(source))
    .map((source) => `${name} points to ${source}, which is not in the package.`);
}

function textProblems(folder, files, manifest) {
  return files
    .filter((name) => name.startsWith('dist/'))
    .flatMap((name) => {
      const text = fs.readFileSync(path.join(folder, name), 'utf8');
      // A leading #! is the one absolute path that belongs there.
      const place = [root, '/home/', '/tmp/', 'file:///'].find((start) => text.includes(start));
      const problems = place ? [`${name} holds an absolute path: ${place}`] : [];
      if (name.endsWith('.map')) problems.push(...mapProblems(name, text, files));
      // A declaration may name the types of a development dependency only where a user need not have them.
      else if (!name.startsWith('dist/cli/') || /\.m?js$/.test(name))
        problems.push(...importProblems(name, text, files, manifest));
      return problems;
    });
}

function contentProblems(folder) {
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const files = filesUnder(folder);
  return [
    ...entryProblems(folder, manifest),
    ...fileProblems(files),
    ...sizeProblems(folder, files),
    ...textProblems(folder, files, manifest),
  ];
}

module.exports = { contentProblems };
