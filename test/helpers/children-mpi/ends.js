'use strict';

// How the ranks of a job end when one of them does something else: node ends.js <what> [rank]. What a call says is
// printed by those that wait in it.
const { mpi } = require('fused-optim');

const [what, which = '1'] = process.argv.slice(2);
if (what === 'absent' && process.env.OMPI_COMM_WORLD_RANK === which) {
  setTimeout(() => undefined, 9_000);
} else {
  start();
}

function start() {
  const started = Date.now();
  let comm;
  try {
    comm = mpi({ timeout: what === 'timeout' || what === 'stop' || what === 'absent' ? 4 : 60 });
  } catch (error) {
    console.log(`${error.name}: ${error.message}`);
    process.exitCode = 3;
    return;
  }
  const odd = comm.rank === Number(which);
  const seconds = () => ((Date.now() - started) / 1000).toFixed(1);
  const say = (error) => console.log(`rank ${comm.rank}: ${error.message}`);

  const odds = {
    exit: () => process.exit(0),
    close: () => comm.close(),
    // Its event loop has nothing left to do.
    end: () => undefined,
    throw: () => {
      throw new Error('on purpose');
    },
    status: () => process.exit(7),
    kill: () => process.kill(process.pid, 'SIGKILL'),
    stop: () => process.kill(process.pid, 'SIGSTOP'),
    // Comes too late, and hears why it is refused.
    timeout: () => setTimeout(() => comm.allReduce(new Float32Array(4)).catch(say), 6_000),
    // Takes part in what it has begun, though it does not wait for it.
    begun: () => {
      void comm.allReduce(new Float32Array(2_000_000).fill(1));
      process.exit(0);
    },
  };

  async function others() {
    const data = new Float32Array(what === 'begun' ? 2_000_000 : 4).fill(1);
    try {
      await comm.allReduce(data);
      console.log(`rank ${comm.rank}: ${data.every((x) => x === comm.size) ? 'right' : 'wrong'}`);
    } catch (error) {
      say(error);
      // Later calls say the same.
      await comm.barrier().catch((later) => {
        if (later.message.replace('barrier', 'allReduce') !== error.message) say(later);
      });
      if (Number(seconds()) > 20) console.log(`rank ${comm.rank}: after ${seconds()} s`);
    }
  }

  comm.barrier().then(() => (odd ? odds[what]() : others()));
}
