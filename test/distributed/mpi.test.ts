/** mpi(): ranks under mpirun, and what it says where there are none. */
import path from 'node:path';
import { backends } from 'fused-optim';
import { checkLauncher, loadMpi, mpiCandidates, versionProblem } from '../../lib/distributed/mpi-native';
import { blocks } from '../house/code-blocks/blocks';
import { packageTree } from '../house/package-tree';
import { root, runNode, writeFiles } from '../house/scratch';
import { noCuda } from '../helpers/cuda';
import { copyChildren, describeMpi, runRanks } from '../helpers/mpi';

/** The package as users get it, with the programs of helpers/children-mpi inside. */
const directory = packageTree();
jest.setTimeout(90_000);
copyChildren(directory);

/** What every rank says at its end, where all is well. */
const allWell = (size: number): unknown[] =>
  Array.from(
    { length: size },
    (_, rank): unknown =>
      expect.stringMatching(new RegExp(`^rank ${rank}: [1-9]\\d* checks, 0 problems$`)) as unknown,
  );

describeMpi('ranks of MPI', () => {
  test.each([1, 2, 3, 4])(
    'exchange arrays (%i)',
    (size) => {
      const { status, lines } = runRanks(size, ['collectives.js'], directory);
      expect({ status, lines }).toEqual({ status: 0, lines: allWell(size) });
    },
    90_000,
  );

  test.each([1, 2, 4])(
    'are told what is wrong, and go on (%i)',
    (size) => {
      const { status, lines } = runRanks(size, ['refusals.js'], directory);
      expect({ status, lines }).toEqual({ status: 0, lines: allWell(size) });
    },
    90_000,
  );

  test('keep memory that is transferred or forgotten, and leave none behind', () => {
    const { status, lines } = runRanks(2, ['--expose-gc', 'memory.js'], directory);
    expect({ status, lines }).toEqual({ status: 0, lines: allWell(2) });
  });

  test('run what the documentation shows', () => {
    const [program, command] = blocks()
      .filter(({ document }) => document === 'docs/distributed-mpi.md')
      .slice(1)
      .map(({ text }) => text);
    writeFiles(directory, { 'train.mjs': program! });
    const [, size, file, printed] = /^mpirun -n (\d) node (\S+) {2}# (.*)$/.exec(command!)!;
    const { status, output } = runRanks(Number(size), [file!], directory);
    expect({ status, output }).toEqual({ status: 0, output: `${printed}\n` });
  });

  test('exchange tensors on a GPU', () => {
    if (noCuda) return void process.stderr.write(`Not tested: mpi() on CUDA (${noCuda}).\n`);
    const { status, lines } = runRanks(2, ['cuda.js'], directory, {
      FUSED_OPTIM_CUDA_ADDON: backends().cuda.binary ?? undefined,
    });
    expect({ status, lines }).toEqual({ status: 0, lines: allWell(2) });
  });

  test('may be worker threads, one in a process', () => {
    const { status, lines } = runRanks(2, ['worker.js'], directory);
    const one =
      'Expected mpi() to be called in one thread of a process but another thread has already called it.';
    expect({ status, lines }).toEqual({
      status: 0,
      lines: [0, 1].map((rank) => `rank ${rank},2,3,3,3: ${one}`),
    });
  });
});

describeMpi('a rank of MPI that', () => {
  const left = (rank: number, how: string): string =>
    `rank ${rank}: Expected every rank to call allReduce but rank 1 has left: ${how}.`;

  test.each([
    ['process.exit(0)', 'exit', 'its process ended'],
    ['having nothing left to do', 'end', 'its process ended'],
    ['close()', 'close', 'it called close()'],
  ])('leaves by %s is named to those that wait, at once', (_, what, how) => {
    const { status, lines, seconds } = runRanks(3, ['ends.js', what, '1'], directory);
    expect({ status, lines }).toEqual({ status: 0, lines: [left(0, how), left(2, how)] });
    // mpi() would wait for a minute.
    expect(seconds).toBeLessThan(30);
  });

  test('leaves in the middle of a call takes part in it', () => {
    const { status, lines } = runRanks(3, ['ends.js', 'begun', '1'], directory);
    expect({ status, lines }).toEqual({ status: 0, lines: ['rank 0: right', 'rank 2: right'] });
  });

  test.each([
    ['an exception that nobody catches', 'throw', 1],
    ['process.exit(7)', 'status', 7],
  ])('ends by %s ends the others, and is named', (_, what, expected) => {
    const { status, lines, seconds } = runRanks(3, ['ends.js', what, '1'], directory);
    const line = `fused-optim: rank 1 ended with status ${expected}, and the other ranks with it.`;
    expect({ status, lines }).toEqual({ status: expected, lines: expect.arrayContaining([line]) as unknown });
    expect(seconds).toBeLessThan(30);
  });

  test('is killed ends the others: mpirun names it', () => {
    const { status, output, seconds } = runRanks(3, ['ends.js', 'kill', '1'], directory);
    expect(status).toBe(137);
    expect(output).toMatch(/process rank 1 .*exited on signal 9/);
    expect(seconds).toBeLessThan(30);
  });

  test('does not come is named after the timeout, and hears of it when it does', () => {
    const { status, lines, seconds } = runRanks(3, ['ends.js', 'timeout', '1'], directory);
    const late = (rank: number): unknown =>
      expect.stringMatching(
        new RegExp(
          `^rank ${rank}: Expected every rank to call allReduce within 4 s of rank [02] but rank 1 did not\\.$`,
        ),
      );
    expect({ status, lines }).toEqual({ status: 0, lines: [late(0), late(1), late(2)] });
    expect(seconds).toBeLessThan(30);
  });

  test('stands still is named after the timeout, and ended with the others', () => {
    const { status, output, seconds } = runRanks(3, ['ends.js', 'stop', '1'], directory);
    expect(status).toBe(1);
    expect(output).toMatch(/^rank [02]: Expected every rank to call allReduce .* but rank 1 did not\.$/m);
    expect(output).toMatch(/^fused-optim: rank [02] ended after a failure, and the other ranks with it/m);
    expect(seconds).toBeLessThan(40);
  });

  test('does not call mpi() lets those that do wait no longer than the timeout', () => {
    const { status, output, seconds } = runRanks(2, ['ends.js', 'absent', '1'], directory);
    expect(status).toBe(3);
    expect(output).toContain('Error: Expected every rank to call mpi() within 4 s but at least one has not.');
    expect(seconds).toBeLessThan(30);
  });
});

describe('without ranks', () => {
  const program = `
    try { require('fused-optim').mpi(JSON.parse(process.argv[1])); } catch (error) {
      console.log(error.name + ': ' + error.message);
    }`;
  const said = (options: object, env: NodeJS.ProcessEnv = {}): string =>
    runNode(['-e', program, JSON.stringify(options)], directory, env).output;

  test('mpi() says how to start', () => {
    expect(said({})).toBe(
      'Error: Expected mpi() in a process that an MPI launcher has started but found none of its variables in the ' +
        'environment: start the script with it, such as `mpirun -n 4 node train.js`.\n',
    );
    expect(() => checkLauncher({ PMI_RANK: '0' })).not.toThrow();
  });

  test('mpi() checks its options first', () => {
    expect(said({ timeout: 0 })).toMatch(
      /^RangeError: Expected timeout of mpi\(\) to be > 0 and <= 1e6 seconds but received 0\.\n$/,
    );
    expect(said({ timeout: '5' })).toMatch(
      /^TypeError: Expected timeout of mpi\(\) to be .* but received "5"\.\n$/,
    );
    expect(said({ timeOut: 5 })).toMatch(
      /^TypeError: Unknown option "timeOut" for mpi\(\): did you mean "timeout"\?\n$/,
    );
  });

  test('mpi() says where it looked for its addon, and how to build it', () => {
    const output = said({}, { PMI_RANK: '0', FUSED_OPTIM_MPI_ADDON: '/no/addon.node' });
    expect(output).toMatch(/^Error: fused-optim found no MPI addon for .* that loads\. Tried:\n/);
    expect(output).toContain('  /no/addon.node: no such file\n');
    expect(output).toContain('`npm run build:mpi`');
    expect(output).toContain('apt-get install libopenmpi-dev openmpi-bin');
    expect(() => loadMpi([])).toThrow('found no MPI addon');
  });

  test('the addon is looked for where the environment says, or in a build and the package', () => {
    const names = (requested?: string): string[] =>
      mpiCandidates(root, requested).map((file) => path.relative(root, file).split(path.sep).join('/'));
    expect(names('other.node')).toEqual([path.relative(root, path.resolve('other.node'))]);
    expect(mpiCandidates(root, '')).toEqual([
      path.join(root, 'build-mpi', 'Release', 'fused_optim_mpi.node'),
      expect.stringMatching(/prebuilds.*fused_optim_mpi\.node$/),
    ]);
  });

  test.each([
    ['Open MPI 4.1.4', 'Open MPI v4.1.6, package: Debian OpenMPI, ident: 4.1.6'],
    ['MPICH 4.0.2', 'MPICH Version:      4.1.1\nMPICH Release date: today\n'],
    ['Intel MPI 2021.9.0', 'Intel(R) MPI Library 2021.11 for Linux* OS\n'],
  ])('%s runs with %j', (built, running) => expect(versionProblem(built, running)).toBeUndefined());

  test('another version of MPI is refused', () => {
    expect(versionProblem('Open MPI 4.1.4', 'Open MPI v5.0.1, package: x, ident: 5.0.1')).toBe(
      'Expected the MPI library to be Open MPI 4, since the MPI addon was built with Open MPI 4.1.4, but received ' +
        "Open MPI v5.0.1: build it again with `npm run build:mpi`, or start it with the other MPI's mpirun.",
    );
    expect(versionProblem('Open MPI 4.1.4', 'MPICH Version:      4.1.1\n')).toContain(
      'received MPICH Version',
    );
  });
});
