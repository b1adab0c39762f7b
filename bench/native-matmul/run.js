'use strict';

// Newton-Schulz of GPT-2 small's hidden matrices beside PyTorch's, in turn in one run; a line of JSON a job:
//   node bench/native-matmul/run.js [--threads 1] [--rounds 7] [--layers 1] [--qkv split|fused] [--products] [--slow]
// --products times single products too. PyTorch's jobs are left out, with a line that says so, where python3
// or torch is missing. On CPUs without AVX-512 its bfloat16 products run at a few GFLOP/s: its bfloat16 jobs are then
// left out, or run once with --slow. Figures are medians; the least and the most stand beside them.

const { spawn, spawnSync } = require('node:child_process');
const path = require('node:path');
const readline = require('node:readline');
const { parseArgs } = require('node:util');
const { Build, findCompiler } = require('../../test/native/build');
const { core, flags, isas, kernels, root } = require('../../scripts/sources');

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '7' },
    layers: { type: 'string', default: '1' },
    qkv: { type: 'string', default: 'split' },
    products: { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false },
  },
});

const qkv = options.qkv === 'fused' ? ['2304x768'] : ['768x768', '768x768', '768x768'];
const layer = [...qkv, '768x768', '3072x768', '768x3072'];
const shapes = Array.from({ length: Number(options.layers) }, () => layer).flat();
const products = ['768 768 768 0', '768 768 768 1', '768 768 3072 1', '768 3072 768 0'];

/** A program that reads a job a line and answers with milliseconds a line. */
class Worker {
  constructor(command, args) {
    const environment = {
      ...process.env,
      OMP_NUM_THREADS: options.threads,
      MKL_NUM_THREADS: options.threads,
    };
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: environment });
    this.lines = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }
  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.child.spawnfile} ended before it answered.`);
    return value;
  }
  async time(job) {
    this.child.stdin.write(`${job}\n`);
    return Number(await this.line());
  }
}

async function build() {
  const directory = path.join(root, 'build-native-bench');
  const made = new Build(findCompiler(), directory, ['-pthread']);
  const objects = [...core, 'bench/native-matmul/main.cpp'].map((file) =>
    made.object(path.parse(file).name, file, flags.common),
  );
  for (const isa of isas())
    for (const file of kernels)
      objects.push(
        made.object(`${path.parse(file).name}_${isa}`, file, [
          ...flags.common,
          ...flags[isa],
          `-DFO_ISA=${isa}`,
        ]),
      );
  await made.compile();
  return made.link('matmul_bench', objects);
}

/** Whether PyTorch has no real bfloat16 products here: below 10 GFLOP/s. */
async function isSlow(torch) {
  const job = 'product bf16 256 256 256 0';
  await torch.time(job);
  const gflops = (2 * 256 ** 3) / (await torch.time(job)) / 1e6;
  if (gflops < 10)
    console.error(
      `torch: bfloat16 products at ${gflops.toFixed(1)} GFLOP/s, its jobs ${options.slow ? 'run once' : 'are left out'}`,
    );
  return gflops < 10;
}

async function main() {
  const program = await build();
  const args = [options.threads, ...shapes];
  const workers = { ours: new Worker(program, args) };
  if (spawnSync('python3', ['-c', 'import torch']).status === 0)
    workers.torch = new Worker('python3', [path.join(__dirname, 'torch_worker.py'), ...args]);
  else console.error('torch: left out, python3 or torch is not installed');
  for (const name of Object.keys(workers)) console.error(`${name}: ${await workers[name].line()}`);

  const jobs = [
    ...['bf16', 'f32'].map((precision) => ['torch', `ns ${precision}`]),
    ...['bf16 standard', 'bf16 auto', 'f32 standard', 'f32 auto'].map((job) => ['ours', `ns ${job}`]),
  ];
  if (options.products)
    for (const product of products)
      for (const name of ['torch', 'ours'])
        for (const precision of ['bf16', 'f32']) jobs.push([name, `product ${precision} ${product}`]);
  const slow = workers.torch && (await isSlow(workers.torch));
  const once = ([name, job]) => slow && name === 'torch' && job.includes('bf16');
  const results = jobs
    .filter(([name]) => workers[name])
    .filter((job) => !once(job) || options.slow)
    .map((job) => ({ worker: job[0], job: job[1], once: once(job), times: [] }));
  // The first round warms caches and makes room, and does not count.
  for (let round = 0; round <= Number(options.rounds); ++round)
    for (const { worker, job, once, times } of results) {
      if (once && round !== 1) continue;
      const time = await workers[worker].time(job);
      if (round > 0) times.push(time);
    }
  for (const { worker, job, times } of results) {
    times.sort((a, b) => a - b);
    const [, m, n, k] = /^product \w+ (\d+) (\d+) (\d+)/.exec(job) ?? [];
    const median = times[times.length >> 1];
    console.log(
      JSON.stringify({
        worker,
        job,
        threads: Number(options.threads),
        ms: Number(median.toFixed(3)),
        least: Number(times[0].toFixed(3)),
        most: Number(times.at(-1).toFixed(3)),
        // Counted in full, symmetric or not.
        ...(m && { gflops: Number(((2 * m * n * k) / median / 1e6).toFixed(1)) }),
      }),
    );
  }
  for (const worker of Object.values(workers)) worker.child.stdin.end();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
