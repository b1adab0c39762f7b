'use strict';

// npm's `install` step. A prebuilt binary for this platform that loads is enough; else the addon is built
// from source with node-gyp.
//   node scripts/install.js            as above
//   node scripts/install.js --build    always builds

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.join(__dirname, '..');
const platform = `${process.platform}-${process.arch}`;

/** Where lib/native.ts looks first. */
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

function build() {
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
const whyBuild = process.argv.includes('--build') ? 'not asked for' : prebuiltProblem();
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
