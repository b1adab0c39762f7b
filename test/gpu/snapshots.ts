/** What steps have left, and where two of them differ. */

export type Snapshot = ReadonlyMap<string, Float32Array | Float64Array | Uint16Array | Uint8Array | number>;

type Numbers = Exclude<NonNullable<ReturnType<Snapshot['get']>>, number>;

const bytesOf = ({ buffer, byteOffset, byteLength }: Numbers) => Buffer.from(buffer, byteOffset, byteLength);

function firstDifference(a: Numbers, b: Numbers): string {
  if (a.length !== b.length) return `in length, ${a.length} and ${b.length}`;
  const at = a.findIndex((value: number, i: number) => !Object.is(value, b[i]));
  return `at element ${at} of ${a.length}, ${a[at]} and ${b[at]}`;
}

/** Where bits differ first, in words; undefined where all are the same. */
export function difference(a: Snapshot, b: Snapshot): string | undefined {
  if ([...a.keys()].join() !== [...b.keys()].join())
    return `there is ${[...a.keys()].join()} and ${[...b.keys()].join()}`;
  for (const [what, left] of a) {
    const right = b.get(what)!;
    if (typeof left === 'number' || typeof right === 'number') {
      if (!Object.is(left, right)) return `${what} is ${String(left)} and ${String(right)}`;
    } else if (!bytesOf(left).equals(bytesOf(right))) {
      return `${what} differs ${firstDifference(left, right)}`;
    }
  }
  return undefined;
}

/** The largest difference of two numbers, as a share of the largest number of their tensor; infinite where one is none. */
export function differences(a: Snapshot, b: Snapshot): number {
  let worst = 0;
  for (const [what, left] of a) {
    const right = b.get(what);
    if (typeof left === 'number' || typeof right === 'number' || !right) continue;
    let scale = 1e-12;
    right.forEach((value: number) => (scale = Math.max(scale, Math.abs(value))));
    left.forEach((value: number, i: number) => {
      const error = Math.abs(value - right[i]!) / scale;
      worst = error <= worst ? worst : Number.isNaN(error) ? Infinity : error;
    });
  }
  return worst;
}
