'use strict';

// Calls nvcc, and keeps what it says of the kernels in a source, for scripts/check-cuda.js to judge:
//   node scripts/report-kernels.js directory nvcc ... -c x.cu -o x.o
// That goes into directory/x/: ptxas.txt, the PTX of each architecture, and x.d, the files that were read. An
// incremental build, which does not call nvcc for a source that has not changed, leaves them as they are.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const [directory, compiler, ...args] = process.argv.slice(2);

/** The file that stands behind an option. */
const after = (option) => args[args.indexOf(option) + 1];

/** ptxas's report, and what else nvcc printed, such as warnings. */
function divide(text) {
  const ofReport = (line) => /^ptxas info|^ {4}\d+ bytes stack frame,/.test(line);
  const lines = text.split('\n');
  return [lines.filter(ofReport).join('\n'), lines.filter((line) => !ofReport(line)).join('\n')];
}

const { name } = path.parse(after('-c'));
const folder = path.join(directory, name);
fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });
const { status, error, stderr } = spawnSync(
  compiler,
  [...args, '-Xptxas=-v', '--keep', '--keep-dir', folder],
  {
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  },
);
const [report, rest] = divide(stderr ?? error.message);
process.stderr.write(rest);
// What lies beside the PTX is larger than all the rest of a build.
for (const file of fs.readdirSync(folder)) if (!file.endsWith('.ptx')) fs.rmSync(path.join(folder, file));
if (status === 0) {
  const dependencies = args.includes('-MF') ? after('-MF') : after('-o').replace(/\.o$/, '.d');
  fs.copyFileSync(dependencies, path.join(folder, `${name}.d`));
  fs.writeFileSync(path.join(folder, 'ptxas.txt'), report);
} else {
  fs.rmSync(folder, { recursive: true, force: true });
  process.exitCode = status ?? 1;
}
