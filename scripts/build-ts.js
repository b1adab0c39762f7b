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

/**
 * What the compiler writes for other compilers, made shorter without moving what follows, for the map's sake: names of
 * modules that are required, the marker that only the package's own entry needs, and places of exports that are not
 * there yet.
 */
function withoutCeremony(code, isEntry) {
  const blank = (text) => ' '.repeat(text.length);
  let short = code
    .replace(/^(?:exports\.[\w$]+ = )+void 0;/gm, blank)
    // Modules are whole when they are exported again.
    .replace(
      /^Object\.defineProperty\(exports, "(\w+)", \{ enumerable: true, get: function \(\) \{ return ([\w.]+); \} \}\);/gm,
      (text, name, value) => `exports.${name} = ${value};`.padEnd(text.length),
    )
    // None of the functions that modules export asks for `this`.
    .replace(/\(0, (\w+_\d+(?:\.\w+)+)\)(?=\()/g, (_, callee) => `    ${callee} `);
  // What a module of Node exports is its default.
  for (const [text, alias, call] of short.matchAll(
    /^const (\w+_\d+) = __importDefault\((require\("node:\w+"\))\)/gm,
  ))
    short = short
      .replace(text, `const ${alias} = ${call}`.padEnd(text.length))
      .replace(new RegExp(`\\b${alias}\\.default\\b`, 'g'), (use) => alias.padEnd(use.length));
  if (!isEntry)
    short = short.replace(/^Object\.defineProperty\(exports, "__esModule", \{ value: true \}\);/m, blank);
  // A namespace is what the module exports.
  short = short.replace(/__importStar\((require\("[./\w-]+"\))\)/g, (text, call) => call.padEnd(text.length));
  for (const [use, helpers] of [
    ['__importDefault(', ['__importDefault']],
    ['__importStar(', ['__createBinding', '__setModuleDefault', '__importStar']],
  ])
    if (!short.includes(use))
      for (const helper of helpers)
        short = short.replace(new RegExp(`^var ${helper} = [^]*?^\\}\\)*(?:\\(\\))?;$`, 'm'), (text) =>
          text.replace(/[^\n]/g, ' '),
        );
  const aliases = [...short.matchAll(/^(?:const|var) (\w+_\d+) = (?:__import\w+\()?require\(/gm)].map(
    ([, alias]) => alias,
  );
  aliases.forEach((alias, i) => {
    short = short.replace(new RegExp(`\\b${alias}\\b`, 'g'), `$$${i.toString(36)}`.padEnd(alias.length));
  });
  return short;
}

const shorter = {
  target: 'es2022',
  minifyWhitespace: true,
  minifyIdentifiers: true,
  minifySyntax: true,
  charset: 'utf8',
  lineLimit: 1000,
};

function withoutWhiteSpace(file, esbuild) {
  const { transformSync } = require(esbuild);
  const map = fs.readFileSync(`${file}.map`);
  const isEntry = path.basename(file) === 'index.js';
  // As a part of the input, the compiler's map is what the new one builds on.
  const inline = `//# sourceMappingURL=data:application/json;base64,${map.toString('base64')}\n`;
  const code = withoutCeremony(fs.readFileSync(file, 'utf8'), isEntry).replace(
    /\/\/# sourceMappingURL=.*\n?$/,
    inline,
  );
  const made = transformSync(code, {
    ...shorter,
    // Node finds the names of `import` in exports that stand in lines of their own.
    minifySyntax: !isEntry,
    sourcemap: 'external',
    sourcesContent: false,
    sourcefile: path.basename(file),
  });
  // Maps of the command line are not packed.
  const isPacked = !file.startsWith(path.join(dist, 'cli'));
  fs.writeFileSync(file, made.code + (isPacked ? `//# sourceMappingURL=${path.basename(file)}.map\n` : ''));
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
    if (name.endsWith('.js') && name !== path.join('cli', 'main.js'))
      withoutWhiteSpace(path.join(dist, name), esbuild);

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
