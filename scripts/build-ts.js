'use strict';

// Builds dist/ from lib/: JavaScript and types by tsc, and the small ES module in front of the CommonJS one,
// so that `import` and `require` share one set of classes and one loaded addon.
//
// esbuild then takes white space out of the JavaScript and shortens syntax and the names of local variables. Names of
// modules, classes, methods and functions stay and lines have a readable length, so that stack traces say where
// something happened; the source maps are carried over.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const dist = path.join(root, 'dist');

function find(module) {
  try {
    return require.resolve(module);
  } catch {
    return undefined;
  }
}

function withoutWhiteSpace(file, esbuild) {
  const { transformSync } = require(esbuild);
  const map = fs.readFileSync(`${file}.map`);
  // As a part of the input, the compiler's map is what the new one builds on.
  const inline = `//# sourceMappingURL=data:application/json;base64,${map.toString('base64')}\n`;
  const code = fs.readFileSync(file, 'utf8').replace(/\/\/# sourceMappingURL=.*\n?$/, inline);
  const made = transformSync(code, {
    target: 'es2022',
    minifyWhitespace: true,
    minifyIdentifiers: true,
    // Node finds the names of `import` in exports that stand in lines of their own.
    minifySyntax: path.basename(file) !== 'index.js',
    charset: 'utf8',
    lineLimit: 200,
    sourcemap: 'external',
    sourcesContent: false,
    sourcefile: path.basename(file),
  });
  fs.writeFileSync(file, `${made.code}//# sourceMappingURL=${path.basename(file)}.map\n`);
  fs.writeFileSync(`${file}.map`, made.map);
}

function build(tsc, esbuild) {
  fs.rmSync(dist, { recursive: true, force: true });
  // Comments belong into the types, where editors show them, and would be a fifth of the JavaScript: two runs.
  const runs = [
    ['--emitDeclarationOnly'],
    ['--noCheck', '--declaration', 'false', '--declarationMap', 'false', '--removeComments'],
  ];
  for (const flags of runs) {
    const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.json', ...flags], {
      cwd: root,
      stdio: 'inherit',
    });
    if (status !== 0) return status ?? 1;
  }

  for (const name of fs.readdirSync(dist, { recursive: true }))
    if (name.endsWith('.js')) withoutWhiteSpace(path.join(dist, name), esbuild);

  const reexport = "export * from './index.js';\n";
  fs.writeFileSync(path.join(dist, 'index.mjs'), reexport);
  fs.writeFileSync(path.join(dist, 'index.d.mts'), reexport);

  const cli = path.join(dist, 'cli', 'main.js');
  if (fs.existsSync(cli)) fs.chmodSync(cli, 0o755);
  return 0;
}

const tsc = find('typescript/bin/tsc');
const esbuild = find('esbuild');
if (tsc && esbuild) {
  process.exitCode = build(tsc, esbuild);
} else {
  console.log(
    `fused-optim: ${tsc ? 'esbuild' : 'typescript'} is not installed (it is a development dependency), ` +
      'so dist/ is left as it is.',
  );
}
