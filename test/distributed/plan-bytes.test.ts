/** What `plan` says that ranks send, beside what ranks of Open MPI have sent, message by message. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Muon } from 'fused-optim';
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

/** Bytes that each rank has sent inside collectives; what ranks say to each other besides is other messages. */
function sent(kind: string, file: string, ranks: number, script = 'collectives.js'): number[] {
  const counted = path.join(scratch, `${kind}-${ranks}`);
  const mca = {
    pml_monitoring_enable: '2', // collectives apart from messages
    pml_monitoring_enable_output: '3',
    pml_monitoring_filename: counted,
    // A ring whatever the size; by itself Open MPI sends small arrays whole to half of the ranks.
    coll_libnbc_iallreduce_algorithm: '1',
  };
  const options = Object.entries(mca).flatMap(([name, value]) => ['--mca', name, value]);
  const child = path.join(root, 'test', 'helpers', 'children', script);
  const args = ['--oversubscribe', '-n', String(ranks), ...options];
  const { status, stderr } = spawnSync('mpirun', [...args, process.execPath, child, directory, kind, file], {
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
    encoding: 'utf8',
    timeout: 200_000,
  });
  if (status !== 0) throw new Error(`${kind} of ${ranks} ranks ended with ${status}: ${stderr}`);
  return Array.from({ length: ranks }, (_, rank) => {
    const lines = fs.readFileSync(`${counted}.${rank}.prof`, 'utf8').matchAll(/^I\t\d+\t\d+\t(\d+) bytes/gm);
    return sum([...lines].map(([, bytes]) => Number(bytes)));
  });
}

/** A small GPT-2 by Muon: whole matrices and tensors that are cut, in uneven shares. */
const tensors = workloads.get('gpt2_mini_5m')!;

const planned = (ranks: number, stage: 1 | 2): Forecast =>
  forecast({ tensors, ranks, stage, dtype: 'float32', make: (params) => new Muon(params) });

describe.each([1, 2, 4, 8])('%i ranks', (ranks) => {
  let file: string;
  /** What starting and ending sends. */
  let idle: number[];

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
    idle = sent('nothing', file, ranks);
  }, 240_000);

  const measured = (kind: string): number[] =>
    sent(kind, file, ranks).map((bytes, rank) => bytes - idle[rank]!);

  testWithMpi(
    'all-reduce of gradients: twice all but a share',
    () => {
      expect(measured('allReduce')).toEqual(planned(ranks, 1).ranks.map((load) => load.sent.gradients));
    },
    240_000,
  );

  testWithMpi(
    'reduce-scatter of gradients: all but the own share, or all of it through rank 0',
    () => {
      const bytes = measured('reduceScatter');
      const { ranks: loads, gradientBytes } = planned(ranks, 2);
      const direct = loads.map((load) => load.sent.gradients);
      // Open MPI's non-blocking one reduces everything to rank 0, which then hands out shares.
      const throughOne = direct.map((own, rank) => (rank === 0 ? own : gradientBytes));
      expect([direct, throughOne]).toContainEqual(bytes);
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

  // A step begins with an exchange of what all ranks must have alike, which the plan leaves out.
  const agreement = 1024;

  testWithMpi.each([1, 2] as const)(
    'a step of Sharded in stage %i, all of it',
    (stage) => {
      fs.writeFileSync(file, JSON.stringify(tensors));
      const bytes = sent(String(stage), file, ranks, 'sharded-step.js');
      const { ranks: loads, gradientBytes } = planned(ranks, stage);
      bytes.forEach((all, rank) => {
        const { gradients, parameters, check } = loads[rank]!.sent;
        const reduced = stage === 2 && rank > 0 && ranks > 1 ? [gradients, gradientBytes] : [gradients];
        const over = reduced.map((one) => all - idle[rank]! - one - parameters - check);
        expect(over.some((more) => more >= 0 && more <= agreement)).toBe(true);
      });
    },
    240_000,
  );
});
