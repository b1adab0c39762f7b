/** What `plan` says that ranks send, beside what ranks of Open MPI have sent, message by message. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Muon, type MuonOptions } from 'fused-optim';
import { forecast, type Forecast } from '../../lib/distributed/forecast';
import { cutElements, partition } from '../../lib/distributed/partition';
import { divisible, workloads } from '../helpers/workloads';
import { packageTree } from '../house/package-tree';
import { linkFromRoot, root, run, scratchDirectory } from '../house/scratch';

/** Why this cannot run here, or ''. */
function missing(): string {
  if (!fs.existsSync(path.join(root, 'build-mpi', 'Release', 'fused_optim_mpi.node')))
    return 'there is no MPI addon: npm run build:mpi';
  const { status, output } = run('ompi_info', ['--param', 'pml', 'monitoring', '--level', '9'], root);
  return status === 0 && output.includes('pml_monitoring_enable') ? '' : 'no Open MPI that counts messages';
}

const reason = missing();
if (reason) process.stderr.write(`Not tested: bytes that ranks send (${reason}).\n`);
const testWithMpi = reason ? test.skip : test;

const directory = packageTree();
const scratch = scratchDirectory();
if (!reason) linkFromRoot(directory, 'build-mpi');

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

/** Bytes that each rank has sent. */
function sent(
  kind: string,
  file: string,
  ranks: number,
  script = 'collectives.js',
  more: readonly string[] = [],
): number[] {
  const counted = path.join(scratch, `${kind}-${ranks}`);
  const mca = {
    pml_monitoring_enable: '1',
    pml_monitoring_enable_output: '3',
    pml_monitoring_filename: counted,
  };
  const options = Object.entries(mca).flatMap(([name, value]) => ['--mca', name, value]);
  const child = path.join(root, 'test', 'helpers', 'children', script);
  const args = ['--oversubscribe', '-n', String(ranks), ...options];
  const { status, stderr } = spawnSync(
    'mpirun',
    [...args, process.execPath, child, directory, kind, file, ...more],
    {
      env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
      encoding: 'utf8',
      timeout: 200_000,
    },
  );
  if (status !== 0) throw new Error(`${kind} of ${ranks} ranks ended with ${status}: ${stderr}`);
  return Array.from({ length: ranks }, (_, rank) => {
    const lines = fs.readFileSync(`${counted}.${rank}.prof`, 'utf8').matchAll(/^E\t\d+\t\d+\t(\d+) bytes/gm);
    return sum([...lines].map(([, bytes]) => Number(bytes)));
  });
}

/** A small GPT-2 by Muon: whole matrices and tensors that are cut, in uneven shares. */
const tensors = workloads.get('gpt2_mini_5m')!;

const planned = (ranks: number, stage: 1 | 2, options: MuonOptions = {}): Forecast =>
  forecast({ tensors, ranks, stage, dtype: 'float32', make: (params) => new Muon(params, options) });

describe.each([1, 2, 4, 8])('%i ranks', (ranks) => {
  let file: string;
  /** What is sent besides arrays: at the start and the end, and in front of each of as many calls. */
  let besides: number[];

  beforeAll(() => {
    if (reason) return;
    const { buckets } = partition(divisible(tensors, 'Muon'), ranks);
    const lists = buckets.map(({ counts, pieces }) => ({
      counts,
      blocks: counts.map((_, rank) =>
        sum(
          pieces
            .filter((piece) => piece.rank === rank)
            .map(({ begin, end }) => Math.ceil((end - begin) / cutElements)),
        ),
      ),
    }));
    file = path.join(scratch, `buckets-${ranks}.json`);
    fs.writeFileSync(file, JSON.stringify(lists));
    const empty = path.join(scratch, `empty-${ranks}.json`);
    const nothing = new Array<number>(ranks).fill(0);
    fs.writeFileSync(empty, JSON.stringify(lists.map(() => ({ counts: nothing, blocks: nothing }))));
    besides = sent('allReduce', empty, ranks);
  }, 240_000);

  const measured = (kind: string): number[] =>
    sent(kind, file, ranks).map((bytes, rank) => bytes - besides[rank]!);

  // Of one rank there is nothing to tell apart, and of 8 a whole step tells it, in a fraction of the time.
  if (ranks === 2 || ranks === 4) {
    testWithMpi(
      'all-reduce of gradients: twice all but a share',
      () => {
        expect(measured('allReduce')).toEqual(planned(ranks, 1).ranks.map((load) => load.sent.gradients));
      },
      240_000,
    );

    testWithMpi(
      'reduce-scatter of gradients: all but the own share',
      () => {
        expect(measured('reduceScatter')).toEqual(planned(ranks, 2).ranks.map((load) => load.sent.gradients));
      },
      240_000,
    );

    testWithMpi(
      'all-gather of parameters: the own share to each other rank',
      () => {
        const bytes = measured('parameters');
        expect(bytes).toEqual(planned(ranks, 1).ranks.map((load) => load.sent.parameters));
        expect(sum(bytes)).toBe((ranks - 1) * planned(ranks, 1).parameterBytes);
      },
      240_000,
    );

    testWithMpi(
      'all-gather of sums over gradients',
      () => {
        expect(measured('sums')).toEqual(planned(ranks, 1).ranks.map((load) => load.sent.check));
      },
      240_000,
    );
  }

  // The plan leaves out what ranks agree on, before a step and before each of its calls.
  const agreement = 16 * 512 * (ranks - 1);

  testWithMpi.each([
    [1, 'float32'],
    [2, 'float32'],
    [2, 'bfloat16'],
  ] as const)(
    'a step of Sharded in stage %i, iterated in %s, all of it',
    (stage, nsDtype) => {
      fs.writeFileSync(file, JSON.stringify(tensors));
      const bytes = sent(String(stage), file, ranks, 'sharded-step.js', [nsDtype]);
      const { ranks: loads } = planned(ranks, stage, { nsDtype });
      bytes.forEach((all, rank) => {
        const { gradients, parameters, check } = loads[rank]!.sent;
        const over = all - besides[rank]! - gradients - parameters - check;
        expect(over).toBeGreaterThanOrEqual(0);
        expect(over).toBeLessThanOrEqual(agreement);
      });
    },
    240_000,
  );
});
