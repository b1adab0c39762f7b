'use strict';

// Every collective, dtype and operation, against numbers that are worked out here one by one. Sums are exact in every
// dtype whatever their order is, but for those that are written down.
const { main, same } = require('./harness');

// The bits of numbers that are no ties between two of the format.
const bfloat16 = (x) => (new Uint32Array(Float32Array.of(x).buffer)[0] + 0x8000) >>> 16;
function float16(x) {
  if (x === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(x)));
  const fraction = Math.round((Math.abs(x) / 2 ** exponent - 1) * 1024);
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

const formats = [
  { name: 'float32', make: (numbers) => Float32Array.from(numbers) },
  { name: 'float64', make: (numbers) => Float64Array.from(numbers) },
  {
    name: 'bfloat16',
    make: (numbers) => Uint16Array.from(numbers, bfloat16),
    options: { dtype: 'bfloat16' },
  },
  { name: 'float16', make: (numbers) => Uint16Array.from(numbers, float16), options: { dtype: 'float16' } },
];
const bytes = { name: 'uint8', make: (numbers) => Uint8Array.from(numbers, (x) => x & 255) };
const bits = { name: 'uint16', make: (numbers) => Uint16Array.from(numbers, (x) => x & 255) };

/** Element i of a rank: whole, of either sign, and largest on another rank for each i. */
const element = (rank, i) => ((rank + i) % 4) * 4 - 4 * (i % 3);
const range = (n) => Array.from({ length: n }, (_, i) => i);
const reduce = {
  sum: (values) => values.reduce((a, b) => a + b),
  mean: (values) => values.reduce((a, b) => a + b) / values.length,
  max: (values) => Math.max(...values),
};

async function reductions(comm, { name, make, options }, op) {
  const ranks = range(comm.size);
  const result = (i) => reduce[op](ranks.map((rank) => element(rank, i)));
  for (const length of [0, 1, 7, 5000]) {
    const data = make(range(length).map((i) => element(comm.rank, i)));
    await comm.allReduce(data, { ...options, op });
    same(comm, `allReduce ${name} ${op} ${length}`, data, [...make(range(length).map(result))]);
  }
  const first = (counts, rank) => counts.slice(0, rank).reduce((a, b) => a + b, 0);
  for (const counts of [undefined, ranks.map((rank) => (rank % 2 ? 0 : 3 + rank)), ranks.map(() => 0)]) {
    const own = counts?.[comm.rank] ?? 5;
    const total = counts ? first(counts, comm.size) : 5 * comm.size;
    const begin = counts ? first(counts, comm.rank) : 5 * comm.rank;
    const numbers = range(total).map((i) => element(comm.rank, i));
    const expected = [...make(range(own).map((i) => result(begin + i)))];
    const send = make(numbers);
    const receive = make(range(own).map(() => 1));
    await comm.reduceScatter(send, receive, { ...options, op, counts });
    same(comm, `reduceScatter ${name} ${op} ${counts}`, receive, expected);
    same(comm, `reduceScatter leaves send, ${name} ${op}`, send, [...make(numbers)]);
    // `receive` may be a part of `send`, at any place of it.
    const shared = make([...numbers, 0]);
    const part = shared.subarray(total + 1 - own);
    await comm.reduceScatter(shared.subarray(0, total), part, { ...options, op, counts });
    same(comm, `reduceScatter in place, ${name} ${op}`, part, expected);
  }
}

async function moves(comm, { name, make, options }) {
  const ranks = range(comm.size);
  const share = (rank, n) => range(n).map((i) => 8 * rank + (i % 8));
  for (const counts of [undefined, ranks.map((rank) => (rank % 2 ? 0 : 3 + rank)), ranks.map(() => 0)]) {
    const of = counts ?? ranks.map(() => 6);
    const expected = [...make(ranks.flatMap((rank) => share(rank, of[rank])))];
    const begin = of.slice(0, comm.rank).reduce((a, b) => a + b, 0);
    const own = make(share(comm.rank, of[comm.rank]));
    const apart = make(expected.map(() => 0));
    await comm.allGather(own, apart, { ...options, counts });
    same(comm, `allGather ${name} ${counts}`, apart, expected);
    const whole = make(expected.map(() => 0));
    const place = whole.subarray(begin, begin + of[comm.rank]);
    place.set(own);
    await comm.allGather(place, whole, { ...options, counts });
    same(comm, `allGather in place, ${name} ${counts}`, whole, expected);
  }
  for (const root of ranks)
    for (const length of [0, 3]) {
      const data = make(share(comm.rank, length));
      await comm.broadcast(data, root, options);
      same(comm, `broadcast ${name} from ${root}`, data, [...make(share(root, length))]);
    }
}

/** What is rounded, what is no number, and which zero is larger. */
async function corners(comm) {
  const f32 = (...x) => Float32Array.of(...x);
  const on = (rank, there, elsewhere) => (comm.rank === rank ? there : elsewhere);
  const last = comm.size - 1;
  const alone = comm.size === 1;

  for (const make of [f32, (...x) => Float64Array.of(...x)]) {
    const data = make(
      on(last, NaN, 9),
      on(0, NaN, -9),
      on(last, 0, -0),
      on(0, Infinity, 1),
      on(0, -Infinity, -Infinity),
    );
    await comm.allReduce(data, { op: 'max' });
    same(comm, 'max with NaN', data, [NaN, NaN, 0, Infinity, -Infinity]);
  }
  const halves = Uint16Array.of(on(last, 0x7e00, 0x3c00), on(0, 0xfe00, 0x3c00), on(last, 0, 0x8000));
  await comm.allReduce(halves, { op: 'max', dtype: 'float16' });
  same(
    comm,
    'max with NaN, float16',
    [Number((halves[0] & 0x7fff) > 0x7c00), Number((halves[1] & 0x7fff) > 0x7c00), halves[2]],
    [1, 1, 0],
  );

  // 2048 + 1 and 256 + 1 are halfway and go to the even neighbour, each time that one is added; 65504 + 65504 is too much.
  const half = Uint16Array.of(on(0, 0x6800, 0x3c00), 0x7bff);
  await comm.allReduce(half, { dtype: 'float16' });
  const brain = Uint16Array.of(on(0, 0x4380, 0x3f80));
  await comm.allReduce(brain, { dtype: 'bfloat16' });
  if (comm.size <= 2) {
    same(comm, 'float16 is rounded', half, [0x6800, alone ? 0x7bff : 0x7c00]);
    same(comm, 'bfloat16 is rounded', brain, [0x4380]);
  } else {
    // Among more ranks ones may meet before they meet 2048: 2048, 2050 or 2052, and the same on every rank.
    const all = new Uint16Array(2 * comm.size);
    await comm.allGather(Uint16Array.of(half[0], brain[0]), all);
    same(
      comm,
      'all ranks have the same bits',
      all,
      Array.from({ length: 2 * comm.size }, (_, i) => (i % 2 ? brain[0] : half[0])),
    );
    same(comm, 'float16 overflows', half[1], 0x7c00);
  }
  // Division, not a product with a rounded 1/3: 7 * fround(1/3) is 2.3333335 in float32.
  const data = f32(on(0, 7, 0));
  await comm.allReduce(data, { op: 'mean' });
  same(comm, 'mean', data, [Math.fround(7 / comm.size)]);
}

/** Calls that are begun together, and hundreds of them, end each with its own numbers. */
async function overlapping(comm) {
  const sum = (comm.size * (comm.size + 1)) / 2;
  const arrays = range(200).map((i) => new Float32Array(1 + i * 10).fill((comm.rank + 1) * (i + 1)));
  const others = range(200).map((i) => new Float64Array(3).fill(comm.rank === i % comm.size ? i : -1));
  await Promise.all(
    arrays.flatMap((data, i) => [
      comm.allReduce(data),
      comm.broadcast(others[i], i % comm.size),
      comm.barrier(),
    ]),
  );
  same(
    comm,
    'overlapping allReduce',
    arrays.map((data) => [data[0], data.at(-1)]),
    range(200).map((i) => [sum * (i + 1), sum * (i + 1)]),
  );
  same(
    comm,
    'overlapping broadcast',
    others.map((data) => data[2]),
    range(200),
  );
}

/** Larger than what MPI sends without asking. */
async function large(comm) {
  const data = new Float32Array(3_000_001).fill(comm.rank + 1);
  const halves = new Uint16Array(1_000_003).fill(0x3c00);
  await Promise.all([comm.allReduce(data), comm.allReduce(halves, { dtype: 'float16' })]);
  const sum = (comm.size * (comm.size + 1)) / 2;
  same(
    comm,
    'large sum',
    [data.every((x) => x === sum), halves.every((x) => x === float16(comm.size))],
    [true, true],
  );
}

main(async (comm) => {
  for (const format of formats) for (const op of Object.keys(reduce)) await reductions(comm, format, op);
  for (const format of [...formats, bytes, bits]) await moves(comm, format);
  await comm.barrier();
  await corners(comm);
  await overlapping(comm);
  await large(comm);
});
