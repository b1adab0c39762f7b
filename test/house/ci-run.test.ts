import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { copyFromRoot, run, scratchDirectory, writeFiles } from './scratch';

const scratch = scratchDirectory();

// What .ci/run calls. Everything passes, but for what FAILING names; the calls go to a file, one a line. The native tests
// last until there has been the call that UNTIL names, and "npm ci" until they have begun.
const said = `echo "\${0##*/} $*" >> calls
for part in $FAILING; do case "$*" in *"$part"*) failing=1;; esac; done
`;
const result = `echo '{ "steps": 20, "trainLoss": 1, "ranks": 2 }'`;
const programs: Readonly<Record<string, string>> = {
  npm: `${said}
for word; do case "$word" in --outputFile=*)
  echo "{ \\"numPassedTests\\": 100, \\"numFailedTests\\": \${failing:-0}, \\"numRuntimeErrorTestSuites\\": 0 }" > "\${word#*=}";;
esac; done
case "$*" in
ci*) for i in {1..600}; do [ -s pid ] && break; sleep 0.1; done;;
*demo*) ${result};; *test:*) echo "$((10 - \${failing:-0})) passed, \${failing:-0} failed";; esac
exit \${failing:-0}`,
  mpirun: result,
  node: `case "$*" in
*test-native.js*) ${said}
  echo $$ > pid
  for i in {1..600}; do grep -q "\${UNTIL:-.}" calls && break; sleep 0.1; done
  grep -q "\${UNTIL:-.}" calls || failing=1
  echo "$((1000 - \${failing:-0})) passed, \${failing:-0} failed"; exit \${failing:-0};;
*require*./build-c*|*presence*) ;;
*) exec '${process.execPath}' "$@";;
esac`,
  ...Object.fromEntries(
    ['apt-get', 'sudo', 'python3', 'make', 'g++', 'cmake', 'mpicxx', 'nvcc'].map((name) => [name, '']),
  ),
};

/** Runs .ci/run where these programs come first on PATH. */
function ci(env: NodeJS.ProcessEnv = {}) {
  const directory = fs.mkdtempSync(path.join(scratch, 'ci-'));
  copyFromRoot(directory, ['.ci']);
  const bin = path.join(directory, 'bin');
  for (const [name, text] of Object.entries(programs)) {
    writeFiles(bin, { [name]: `#!/bin/bash\n${text}\n` });
    fs.chmodSync(path.join(bin, name), 0o755);
  }
  const PATH = `${bin}${path.delimiter}${process.env.PATH ?? ''}`;
  const outcome = run(path.join(directory, '.ci', 'run'), [], directory, { FAILING: '', ...env, PATH });
  const calls = fs.readFileSync(path.join(directory, 'calls'), 'utf8').trimEnd().split('\n');
  const pid = Number(fs.readFileSync(path.join(directory, 'pid'), 'utf8'));
  return { ...outcome, calls, pid, lines: outcome.output.trimEnd().split('\n') };
}

const linux = process.platform === 'linux' ? describe : describe.skip;

linux('.ci/run', () => {
  let right: ReturnType<typeof ci>;
  beforeAll(() => {
    right = ci({ UNTIL: 'test:mpi-asan' });
  }, 60_000);

  test('adds everything up in its last line', () => {
    const { status, lines, output } = right;
    const gates = [...output.matchAll(/^=== .*: passed in \d+ s$/gm)].length;
    // jest, ranks of NCCL and of MPI, compiled kernels, and the native tests, which run beside them all.
    expect(lines.at(-1)).toBe(`${gates + 100 + 3 * 10 + 1000} passed, 0 failed`);
    expect(gates).toBeGreaterThan(15);
    expect(status).toBe(0);
  });

  test('says how long each of them took, in order', () => {
    const { output } = right;
    const headings = [...output.matchAll(/^=== ([^:\n]+(?:: files, sizes, types)?)$/gm)].map(
      ([, name]) => name,
    );
    const [, table] = /=== seconds\n((?: *\d+ .*\n)+)/.exec(output) ?? [];
    const rows = [...(table ?? '').matchAll(/^ *\d+ {2}(.*?)(?:, waited for)?$/gm)].map(([, name]) => name);
    expect(rows).toEqual(headings.filter((name) => name !== 'seconds'));
    expect(rows).toEqual(expect.arrayContaining(['npm ci', 'tests', 'native tests under ASan and UBSan']));
  });

  test('compiles CUDA kernels once, and judges all of them', () => {
    const { calls } = right;
    const cuda = calls.filter((call) => /:cuda /.test(call));
    expect(cuda).toEqual([
      'npm run --silent build:cuda -- --architectures 90-real',
      'npm run --silent check:cuda -- --built',
    ]);
  });

  test.each([
    ['lint', 'lint'],
    ['check:cuda', 'cuda kernel budget'],
    ['outputFile', 'tests'],
    ['test:cuda-compiled', 'compiled CUDA kernels, interpreted'],
    ['test:mpi-asan', 'mpi() under ASan and UBSan'],
    ['test-native.js', 'native tests under ASan and UBSan'],
  ])('fails when %s does', (FAILING, name) => {
    const { lines, status } = ci({ FAILING });
    expect(lines).toContain(`FAILED: ${name}`);
    expect(lines.at(-1)).toMatch(/^\d+ passed, 1 failed$/);
    expect(status).toBe(1);
  });

  test('ends at once, and what runs beside too, when nothing can be installed', async () => {
    const { lines, status, pid } = ci({ FAILING: 'ci', UNTIL: 'what never comes' });
    expect(lines.at(-1)).toBe('0 passed, 1 failed');
    expect(status).toBe(1);
    const runs = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    for (let i = 0; i < 100 && runs(); i += 1) await setTimeout(100);
    expect(runs()).toBe(false);
  });
});
