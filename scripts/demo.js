'use strict';

// `npm run demo -- [options]`: installs onnxruntime-node for the example when it is not there, then trains the GPT of
// examples/gpt. The runtime has a package of its own because its install script downloads CUDA libraries when it sees
// a toolkit; here it is installed without scripts, which is enough for the CPU.

const path = require('node:path');
const { spawnSync } = require('node:child_process');

require('ts-node').register({ transpileOnly: true, project: path.join(__dirname, '..', 'tsconfig.json') });
const { RUNTIME_FOLDER, runtimeInstalled } = require('../examples/gpt/runtime');

/** npm as this process was started by it, or the one on the path. */
function npm(args, options) {
  const cli = process.env.npm_execpath;
  if (cli && /npm-cli\.c?js$/.test(cli)) return spawnSync(process.execPath, [cli, ...args], options);
  return spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
}

function installRuntime({ json }) {
  if (runtimeInstalled()) return;
  const { version } = require(path.join(RUNTIME_FOLDER, 'package-lock.json')).packages[
    'node_modules/onnxruntime-node'
  ];
  const folder = path.relative(process.cwd(), RUNTIME_FOLDER) || '.';
  const line = `Installing onnxruntime-node ${version} in ${folder} (once, without install scripts) …\n`;
  (json ? process.stderr : process.stdout).write(line);
  const flags = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, error, stderr } = npm(flags, { cwd: RUNTIME_FOLDER, encoding: 'utf8' });
  if (status === 0 && runtimeInstalled()) return;
  const reason = error ? error.message : (stderr || '').trim() || `npm ended with ${status}`;
  throw new Error(`onnxruntime-node could not be installed in ${folder}: ${reason}`);
}

const { main } = require('../examples/gpt/train');

void main(process.argv.slice(2), installRuntime).then((code) => {
  process.exitCode = code;
});
