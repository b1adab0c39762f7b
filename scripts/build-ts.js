'use strict';

// Builds dist/ from lib/: JavaScript and types by tsc, and the small ES module in front of the CommonJS one,
// so that `import` and `require` share one set of classes and one loaded addon.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const dist = path.join(root, 'dist');

function findCompiler() {
  try {
    return require.resolve('typescript/bin/tsc');
  } catch {
    return undefined;
  }
}

function build(tsc) {
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

  const reexport = "export * from './index.js';\n";
  fs.writeFileSync(path.join(dist, 'index.mjs'), reexport);
  fs.writeFileSync(path.join(dist, 'index.d.mts'), reexport);

  const cli = path.join(dist, 'cli', 'main.js');
  if (fs.existsSync(cli)) fs.chmodSync(cli, 0o755);
  return 0;
}

const tsc = findCompiler();
if (tsc) {
  process.exitCode = build(tsc);
} else {
  console.log(
    'fused-optim: typescript is not installed (it is a development dependency), so dist/ is left as it is.',
  );
}
