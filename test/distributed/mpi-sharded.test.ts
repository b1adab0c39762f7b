/** Sharded over ranks of MPI: every optimizer beside one process, and checkpoints from 4 ranks to 2 to 3. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { root } from '../house/scratch';
import { describeMpi, runRanks } from '../helpers/mpi';
import { registered } from '../helpers/registry';

const program = path.join(root, 'test', 'helpers', 'children-mpi', 'sharded.ts');
/** All but Muon, and four more ways. */
const optimizers = registered.length + 4;

let folder: string;
beforeAll(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ranks-'))));
afterAll(() => fs.rmSync(folder, { recursive: true }));

describeMpi('optimizers sharded over MPI', () => {
  // In this order: each goes on from what the one before it has saved, the last begins anew.
  test.each([
    [4, 0],
    [2, 2],
    [3, 4],
    [1, 0],
  ])(
    '%i ranks, from step %i',
    (size, from) => {
      const args = ['-r', 'ts-node/register/transpile-only', program, folder, `${from}`];
      const { status, lines } = runRanks(size, args, root, {}, 120);
      const same = Array.from({ length: size }, (_, rank) => `rank ${rank}: ${optimizers} same`);
      const share = expect.stringMatching(/^rank 0 keeps \d+ of \d+ bytes of state$/) as unknown;
      expect({ status, lines }).toEqual({
        status: 0,
        lines: expect.arrayContaining([...same, share]) as unknown,
      });
    },
    150_000,
  );
});
