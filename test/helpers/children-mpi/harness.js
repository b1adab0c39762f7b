'use strict';

// For programs that run on every rank: counts what is as expected and prints what is not.
const assert = require('node:assert');
const { mpi } = require('fused-optim');

let checks = 0;
let problems = 0;

function problem(comm, name, text) {
  ++problems;
  console.log(`rank ${comm.rank}: ${name}: ${text}`);
}

const show = (value) => JSON.stringify(ArrayBuffer.isView(value) ? [...value] : value).slice(0, 300);

/** Arrays and numbers bit by bit: a NaN is one, and 0 is not -0. */
function same(comm, name, actual, expected) {
  ++checks;
  try {
    assert.deepStrictEqual(ArrayBuffer.isView(actual) ? Array.from(actual) : actual, expected);
  } catch {
    problem(comm, name, `expected ${show(expected)} but received ${show(actual)}`);
  }
}

/** What a call that is expected to be refused says; `act` throws or its promise rejects. */
async function messageOf(act) {
  try {
    await act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return 'nothing';
}

async function refused(comm, name, act, expected) {
  same(comm, name, await messageOf(act), expected);
}

/** Runs a program on every rank and says how many checks it had. */
function main(program, options) {
  const comm = mpi(options);
  program(comm)
    .then(() => comm.close())
    .then(() => {
      console.log(`rank ${comm.rank}: ${checks} checks, ${problems} problems`);
      process.exitCode = problems > 0 ? 1 : 0;
    });
}

module.exports = { main, messageOf, refused, same };
