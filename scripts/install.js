'use strict';

// npm's `install` step. A prebuilt binary for this platform that loads is enough; else the addon is built
// from source with node-gyp.
//   node scripts/install.js            as above
//   node scripts/install.js --build    always builds; `npm run build:native`
// In a checkout it always builds too: binaries that were left there for packing may be of older sources.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.join(__dirname, '..');
const platform = platformName();

/** The folder of prebuilds/ that lib/native.ts looks into first. */
function platformName() {
  try {
    return require('../dist/platform').platformName();
  } catch {
    // A checkout whose TypeScript is not built yet: that has no prebuilt binaries either.
    return `${process.platform}-${process.arch}`;
  }
}

const isCheckout = fs.existsSync(path.join(root, '.git'));
const prebuilt = path.join(root, 'prebuilds', platform, 'fused_optim.node');

/** Why the prebuilt binary cannot be used; undefined when it can. */
function prebuiltProblem() {
  if (!fs.existsSync(prebuilt)) return 'there is none';
  // In a process of its own: a binary made for another libc or CPU may kill the process that loads it.
  const load = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', prebuilt], {
    encoding: 'utf8',
  });
  if (load.status === 0) return undefined;
  return /^\w*Error: .*$/m.exec(load.stderr)?.[0] ?? `loading it ended with ${load.signal ?? load.status}`;
}

/** node-gyp's script: the one npm brought, a local one, or the one bundled with npm beside Node. */
function findNodeGyp() {
  const script = path.join('node-gyp', 'bin', 'node-gyp.js');
  const candidates = [process.env.npm_config_node_gyp];
  try {
    candidates.push(require.resolve('node-gyp/bin/node-gyp.js'));
  } catch {
    // Not a dependency of whoever installs this package: the next candidates are npm's own copies.
  }
  if (process.env.npm_execpath) {
    candidates.push(path.join(path.dirname(process.env.npm_execpath), '..', 'node_modules', script));
  }
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  candidates.push(path.join(prefix, 'lib', 'node_modules', 'npm', 'node_modules', script));
  return candidates.find((candidate) => candidate && fs.existsSync(candidate));
}

/** The prefix Node is installed in, when its headers lie there: then node-gyp need not download them. */
function findNodeDir() {
  if (process.env.npm_config_nodedir || process.env.npm_package_config_node_gyp_nodedir) return undefined;
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const header = path.join(prefix, 'include', 'node', 'node_version.h');
  if (!fs.existsSync(header)) return undefined;
  const text = fs.readFileSync(header, 'utf8');
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
  const version = [part('MAJOR'), part('MINOR'), part('PATCH')].join('.');
  return version === process.versions.node ? prefix : undefined;
}

/** What a build needs and this machine lacks; node-gyp would say so in a page of its own words. */
function missingTools() {
  if (process.platform === 'win32') return [];
  const runs = (command) => command && !spawnSync(command, ['--version'], { stdio: 'ignore' }).error;
  const python = [process.env.npm_config_python, process.env.NODE_GYP_FORCE_PYTHON, process.env.PYTHON];
  const first = (text) => text?.trim().split(/\s+/)[0];
  const needs = {
    'Python 3': [...python, 'python3', 'python'],
    make: [first(process.env.MAKE), 'make', 'gmake'],
    'a C++ compiler': [first(process.env.CXX), 'g++', 'c++', 'clang++'],
  };
  return Object.keys(needs).filter((name) => !needs[name].some(runs));
}

function build() {
  // Else lib/native.ts would go on loading what was packed before.
  if (isCheckout) fs.rmSync(path.join(root, 'prebuilds'), { recursive: true, force: true });
  const missing = missingTools();
  if (missing.length > 0) return `${missing.join(', ')} not found`;
  const nodeGyp = findNodeGyp();
  if (!nodeGyp) return 'node-gyp was not found';
  const jobs = Math.min(os.availableParallelism(), 4);
  const args = [nodeGyp, 'rebuild', `--jobs=${jobs}`];
  const nodeDir = findNodeDir();
  if (nodeDir) args.push(`--nodedir=${nodeDir}`);
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error) return error.message;
  return status === 0 ? undefined : `node-gyp ended with status ${status}`;
}

/** Why a binary is needed from source; undefined when the prebuilt one will do. */
function reasonToBuild() {
  if (process.argv.includes('--build')) return 'not asked for';
  return isCheckout ? 'not used in a checkout' : prebuiltProblem();
}

const whyBuild = reasonToBuild();
const problem = whyBuild && build();
if (!whyBuild) {
  console.log(`fused-optim: using the prebuilt binary for ${platform}.`);
} else if (problem) {
  console.error(
    `fused-optim: the build from source failed (${problem}; prebuilt binary for ${platform}: ${whyBuild}). ` +
      'It needs Python 3, make and a C++17 compiler (on Debian and Ubuntu: apt-get install python3 make g++), and ' +
      "Node's headers, which node-gyp downloads unless they lie beside Node. Then run: npm rebuild fused-optim",
  );
  process.exitCode = 1;
}
