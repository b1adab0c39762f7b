'use strict';
// A rank of an MPI job: one kind of collective over buckets, with the counts of each rank that a file has.
// Arguments: the package, the kind, the file.
const fs = require('node:fs');
const path = require('node:path');

const [directory, kind, file] = process.argv.slice(2);
const { mpi } = require(path.join(directory, 'dist', 'distributed', 'mpi.js'));
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

async function main() {
  const comm = mpi();
  for (const { counts, blocks } of JSON.parse(fs.readFileSync(file, 'utf8'))) {
    if (kind === 'allReduce') await comm.allReduce(new Float32Array(sum(counts)), { op: 'mean' });
    if (kind === 'reduceScatter') {
      const share = new Float32Array(counts[comm.rank]);
      await comm.reduceScatter(new Float32Array(sum(counts)), share, { op: 'mean', counts });
    }
    if (kind === 'parameters')
      await comm.allGather(new Float32Array(counts[comm.rank]), new Float32Array(sum(counts)), { counts });
    if (kind === 'sums') {
      const all = new Float64Array(sum(blocks));
      await comm.allGather(new Float64Array(blocks[comm.rank]), all, { counts: blocks });
    }
  }
  await comm.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
