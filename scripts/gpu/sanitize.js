'use strict';

// NVIDIA's compute-sanitizer over a program that runs every kernel once.

const { program, runCommand } = require('./programs');

const command = process.env.COMPUTE_SANITIZER ?? 'compute-sanitizer';

// The kernels of cuBLAS are not ours, and read what they do not need; only memcheck watches them.
const tools = [
  { name: 'memcheck', args: [] },
  { name: 'initcheck', args: ['--no-products'] },
  { name: 'synccheck', args: ['--no-products'] },
  { name: 'racecheck', args: ['--no-products'] }, // takes longest
];

/** What a run of a tool means: counts, or why it says nothing. Exported for tests. */
function judge(name, { status, late, ended, output }) {
  const summary = /^=+ (?:ERROR|RACECHECK) SUMMARY: (\d+) (?:errors?|hazards?).*$/m.exec(output);
  const lines = output.split('\n').filter((line) => line.startsWith('=') || line.startsWith('FAILED'));
  if (late) return { passed: 0, failed: 1, output: `${name} ${ended}` };
  if (!summary) {
    const why =
      lines.find((line) => /error|support|fail|unable/i.test(line)) ?? output.trim().split('\n').at(-1);
    // A program that this tool never saw has shown nothing, good or bad.
    if (/not supported|unsupported|failed to init|unable to|insufficient|cannot find/i.test(output))
      return { passed: 0, failed: 0, reason: `${name} does not run here: ${why.replace(/^=+\s*/, '')}` };
    return { passed: 0, failed: 1, output: `${name} ${ended}: ${why}` };
  }
  const good = status === 0 && Number(summary[1]) === 0;
  return {
    passed: Number(good),
    failed: Number(!good),
    ...(!good && { output: lines.slice(0, 60).join('\n') }),
  };
}

/** Runs the tools of these names one by one; `left()` tells how many seconds there are. */
function sanitize({ left, tell, names }) {
  if (runCommand(command, ['--version']).status !== 0)
    return { passed: 0, failed: 0, reason: `${command} was not found (it comes with the CUDA toolkit)` };
  const total = { passed: 0, failed: 0, output: '' };
  const reasons = [];
  for (const { name, args } of tools) {
    if (!names.includes(name)) {
      reasons.push(`${name}: not asked for`);
      continue;
    }
    if (left() < 10) {
      reasons.push(`${name}: the time is used up`);
      continue;
    }
    const own = ['--tool', name, '--error-exitcode', '99', '--print-limit', '20'];
    const started = program('test/gpu/every-kernel', '--quick', ...args);
    const run = runCommand(command, [...own, process.execPath, ...started], { seconds: left() });
    const result = judge(name, run);
    tell(
      `${name}: ${result.reason ?? (result.failed ? 'FAILED' : 'nothing found')}, ${run.seconds.toFixed(1)} s`,
    );
    total.passed += result.passed;
    total.failed += result.failed;
    if (result.output) total.output += `${result.output}\n`;
    if (result.reason) reasons.push(result.reason);
  }
  return { ...total, ...(reasons.length > 0 && { reason: reasons.join('; ') }) };
}

module.exports = { judge, sanitize, toolNames: tools.map(({ name }) => name) };
