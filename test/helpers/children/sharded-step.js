'use strict';
// A rank of an MPI job that takes one step of a sharded Muon. Arguments: the package, the stage, a file with the tensors,
// and what the iteration is done in.
const fs = require('node:fs');
const path = require('node:path');

const [directory, stage, file, nsDtype] = process.argv.slice(2);
const { Muon, Sharded } = require(directory);
const { mpi } = require(path.join(directory, 'dist', 'distributed', 'mpi.js'));

async function main() {
  const comm = mpi();
  const params = JSON.parse(fs.readFileSync(file, 'utf8')).map(({ name, shape }) => {
    const length = shape.reduce((all, size) => all * size, 1);
    return {
      name,
      shape,
      data: new Float32Array(length).fill(0.5),
      grad: new Float32Array(length).fill(0.1),
    };
  });
  // The limit makes it gather sums over the gradients.
  const make = (list) => new Muon(list, { maxGradNorm: 1, threads: 1, nsDtype });
  await new Sharded(comm, make, { params, stage: Number(stage) }).step();
  await comm.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
