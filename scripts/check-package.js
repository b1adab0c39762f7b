'use strict';

// Fails when the package is not what its package.json promises:
//   node scripts/check-package.js [fused-optim-<version>.tgz]    (default: packs what is built here)
//
// Its files, sizes and imports (package/contents.js); its types, with a program of each module system; and what publint
// and "are the types wrong" find.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { contentProblems } = require('./package/contents');
const { root } = require('./sources');

function capture(command, args, cwd) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (error) throw new Error(`${command} could not be run: ${error.message}`);
  return { status, stdout, output: `${stdout}${stderr}`.trim() };
}

function pack(folder) {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const args = ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder];
  const { status, stdout, output } = capture(npm, args, root);
  if (status !== 0) throw new Error(`npm pack: ${output}`);
  return path.join(folder, stdout.trim().split('\n').at(-1));
}

const consumer = `
  import { AdamW, schedules, type Parameter } from 'fused-optim';
  const w: Parameter = { data: new Float32Array(4), grad: new Float32Array(4) };
  export const step: number = new AdamW([w], { lr: 1e-3 }).schedule({ lr: schedules.constant(1e-3) }).step().step;
  // @ts-expect-error: a misspelled option, which only real types refuse
  new AdamW([w], { learningRate: step });
`;

/** Compiles a program of each module system against the types, none of ours being skipped. */
function typeProblems(folder) {
  const files = ['consumer.mts', 'consumer.cts'];
  for (const file of files) fs.writeFileSync(path.join(folder, file), consumer);
  fs.symlinkSync(
    path.join(root, 'node_modules', '@types'),
    path.join(folder, 'node_modules', '@types'),
    'dir',
  );
  const options = ['--ignoreConfig', '--strict', '--noEmit', '--module', 'node16', '--target', 'es2022'];
  options.push('--lib', 'es2023,esnext.disposable', '--types', 'node');
  const tsc = require.resolve('typescript/bin/tsc');
  const { status, output } = capture(process.execPath, [tsc, ...options, ...files], folder);
  return status === 0 ? [] : [`Types do not compile for a user:\n${output}`];
}

async function publintProblems(folder) {
  const { publint } = await import('publint');
  const { formatMessage } = await import('publint/utils');
  const { messages, pkg } = await publint({ pkgDir: folder, pack: false });
  return messages.map((message) => `publint: ${formatMessage(message, pkg, { color: false })}`);
}

function attwProblems(archive) {
  const manifest = require.resolve('@arethetypeswrong/cli/package.json');
  const program = path.join(path.dirname(manifest), JSON.parse(fs.readFileSync(manifest, 'utf8')).bin.attw);
  const args = [program, archive, '--format', 'ascii', '--no-color', '--no-emoji'];
  const { status, output } = capture(process.execPath, args, path.dirname(archive));
  return status === 0 ? [] : [`attw: ${output}`];
}

async function main() {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-package-'));
  try {
    const archive = process.argv[2] ? path.resolve(process.argv[2]) : pack(scratch);
    const folder = path.join(scratch, 'node_modules', 'fused-optim');
    fs.mkdirSync(folder, { recursive: true });
    const { status, output } = capture(
      'tar',
      ['-xzf', archive, '--strip-components=1', '-C', folder],
      scratch,
    );
    if (status !== 0) throw new Error(`${archive} cannot be unpacked: ${output}`);
    const problems = contentProblems(folder);
    // What follows would only say the same at length where files are missing.
    if (problems.length === 0)
      problems.push(...typeProblems(scratch), ...(await publintProblems(folder)), ...attwProblems(archive));
    for (const problem of problems) console.error(problem);
    if (problems.length > 0) process.exitCode = 1;
    else
      console.log(
        `check-package: ${path.basename(archive)}: files, sizes, imports and types are as they should be.`,
      );
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
