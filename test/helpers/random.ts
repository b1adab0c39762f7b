// Looked up once: in the world of a test every use of a global name is slow.
const { imul } = Math;

/** Uniform numbers in [0, 1) that are the same on every run and machine. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // A Weyl sequence through an integer hash.
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = imul(x ^ (x >>> 16), 0x85ebca6b);
    x = imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Numbers of either sign whose magnitudes span several decades; some are zero. */
export function values(length: number, seed: number, zeros = 0): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => {
    const [pick, sign, exponent] = [next(), next(), next()];
    return pick < zeros ? 0 : (sign - 0.5) * 10 ** (4 * exponent - 3);
  });
}

const odd = [NaN, Infinity, -Infinity, 0, -0, 1e-45, -1e-40, 1.17549435e-38, 3.4e38, -3.4e38, 1e-20, 1e20];

/** Ordinary numbers with every kind of special one between them. */
export function specialValues(length: number, seed: number): Float32Array {
  const next = random(seed + 1);
  return values(length, seed).map((value) => (next() < 0.4 ? odd[Math.floor(next() * odd.length)]! : value));
}
