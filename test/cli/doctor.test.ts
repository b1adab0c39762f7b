import fs from 'node:fs';
import path from 'node:path';
import { candidates } from '../../lib/native';
import { noCuda } from '../helpers/cuda';
import { widestIsa } from '../helpers/isas';
import { packageTree } from '../house/package-tree';
import { root, scratchDirectory, writeFiles } from '../house/scratch';
import { cli } from './run';

const directory = packageTree();

// A child process a command, on machines that may be busy.
jest.setTimeout(60_000);

interface Report {
  ok: boolean;
  cpu: { binary: string | null; tried: { path: string; failure: string | null }[] };
  cuda: { tried: { path: string; failure: string | null }[] };
  findings: { level: string; about: string; what: string; fix: string }[];
}

/** The same package with no build of its addon, or with the given files in place of binaries. */
function without(bare: string, binaries: Readonly<Record<string, string>> = {}): string {
  fs.cpSync(path.join(directory, 'dist'), path.join(bare, 'dist'), { recursive: true });
  fs.copyFileSync(path.join(directory, 'package.json'), path.join(bare, 'package.json'));
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(bare, 'node_modules'), 'dir');
  writeFiles(bare, binaries);
  return bare;
}

describe('the command line', () => {
  test.each([
    [['nurse'], "unknown command 'nurse'"],
    [['doctr'], '(Did you mean doctor?)'],
    [['doctor', '--jsn'], '(Did you mean --json?)'],
    [['doctor', 'twice'], 'too many arguments'],
    [['inspect'], "missing required argument 'checkpoint'"],
    [['inspect', 'a', 'b'], 'too many arguments'],
  ])('%j is bad usage', (args, message) => {
    const { status, stdout, stderr } = cli(directory, args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).toContain('--help');
  });

  test('says what there is when nothing is asked', () => {
    expect(cli(directory, [])).toEqual({ status: 2, stdout: '', stderr: cli(directory, ['--help']).stdout });
  });

  test.each(['doctor', 'inspect'])('%s explains itself', (command) => {
    const { status, stdout, stderr } = cli(directory, [command, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`Usage: fused-optim ${command}`);
    expect(stdout).toContain('--json');
  });

  test('has a version', () => {
    const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(cli(directory, ['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('doctor', () => {
  test('prints what backends() says, without colours where there is no terminal', () => {
    const { status, stdout, stderr } = cli(directory, ['doctor'], { FUSED_OPTIM_THREADS: '3' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^cpu kernels +${widestIsa}: the widest`, 'm'));
    expect(stdout).toMatch(/^threads +3: FUSED_OPTIM_THREADS=3$/m);
    expect(stdout).toMatch(/^binary +.*fused_optim\.node$/m);
    expect(stdout).toMatch(/^a step +gave the right numbers$/m);
    expect(stdout).toMatch(/^Optimizers can run here\.$/m);
    expect(stdout).not.toContain('\u001b');
  });

  test('prints the same as JSON', () => {
    const { status, stdout, stderr } = cli(directory, ['doctor', '--json'], { FUSED_OPTIM_ISA: 'scalar' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const report = JSON.parse(stdout) as Report;
    expect(report).toMatchObject({
      ok: true,
      node: process.version,
      environment: { FUSED_OPTIM_ISA: 'scalar' },
      cpu: { isa: 'scalar', reason: 'FUSED_OPTIM_ISA=scalar', step: 'right' },
    });
    expect(report.cpu.tried.at(-1)).toEqual({ path: report.cpu.binary, failure: null });
    const kernels = report.findings.filter(({ about }) => about === 'kernels');
    expect(kernels).toHaveLength(widestIsa === 'scalar' ? 0 : 1);
  });

  (noCuda ? test : test.skip)('takes missing CUDA for a note, with the paths tried and the fix', () => {
    const { status, stdout } = cli(directory, ['doctor', '--json'], {
      FUSED_OPTIM_CUDA_ADDON: '/nowhere/cuda.node',
    });
    expect(status).toBe(0);
    const { cuda, findings } = JSON.parse(stdout) as Report;
    expect(cuda.tried).toEqual([{ path: '/nowhere/cuda.node', failure: 'no such file' }]);
    expect(findings).toEqual([
      expect.objectContaining({
        level: 'note',
        about: 'cuda',
        fix: expect.stringContaining('build:cuda') as string,
      }),
    ]);
  });

  test.each([
    [{ FUSED_OPTIM_ISA: 'mmx' }, 'kernels', /received "mmx"/, /Unset FUSED_OPTIM_ISA/],
    [{ FUSED_OPTIM_THREADS: 'many' }, 'threads', /received "many"/, /Unset FUSED_OPTIM_THREADS/],
  ])('knows when nothing can run: %j', (env, about, what, fix) => {
    const { status, stdout } = cli(directory, ['doctor', '--json'], env);
    expect(status).toBe(1);
    const { ok, findings } = JSON.parse(stdout) as Report;
    const problems = findings.filter(({ level }) => level === 'problem');
    expect({ ok, problems }).toEqual({
      ok: false,
      problems: [
        {
          level: 'problem',
          about,
          what: expect.stringMatching(what) as string,
          fix: expect.stringMatching(fix) as string,
        },
      ],
    });
    expect(cli(directory, ['doctor'], env).stdout).toMatch(/^1 problem: optimizers cannot run here\.$/m);
  });

  test('suggests the variable that a misspelled one was meant to be', () => {
    const { status, stdout } = cli(directory, ['doctor'], { FUSED_OPTIM_THREAD: '2' });
    expect(status).toBe(0);
    expect(stdout).toContain('Did you mean FUSED_OPTIM_THREADS?');
  });

  describe('without a binary', () => {
    const bare = without.bind(undefined, scratchDirectory());
    const garbled = scratchDirectory();
    const file = candidates('').at(0)!;

    test('says which places it tried, and how to build one', () => {
      const package_ = bare();
      const { status, stdout } = cli(package_, ['doctor']);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^binary +none$/m);
      for (const candidate of candidates(package_)) expect(stdout).toContain(`${candidate}: no such file`);
      expect(stdout).toMatch(/fix +Build it with `npm rebuild fused-optim`/);
      const report = JSON.parse(cli(package_, ['doctor', '--json']).stdout) as Report;
      expect(report).toMatchObject({ ok: false, cpu: { binary: null, isa: null } });
    });

    test('says why one that is there does not load', () => {
      const { status, stdout } = cli(without(garbled, { [file]: 'not a binary' }), ['doctor', '--json']);
      expect(status).toBe(1);
      const [problem] = (JSON.parse(stdout) as Report).findings;
      expect(problem).toMatchObject({ level: 'problem', about: 'binary' });
      expect(problem!.what).toContain(`${path.join(garbled, file)}: `);
      expect(problem!.what).not.toContain('no such file');
    });
  });
});
