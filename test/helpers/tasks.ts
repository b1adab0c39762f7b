/** Training tasks with gradients written out, all in double. */

/** Arrays by name: parameters, gradients or data. */
export type Arrays = Readonly<Record<string, Float64Array>>;
export type Shapes = Readonly<Record<string, readonly number[]>>;

export interface Evaluation {
  readonly loss: number;
  readonly grads: Arrays;
}

/** What a task computes from: parameters, its data, all shapes, and the step (from 0), or undefined for all data. */
export interface Inputs {
  readonly params: Arrays;
  readonly data: Arrays;
  readonly shapes: Shapes;
  readonly step: number | undefined;
}

interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly at: (row: number, col: number) => number;
}

const matrix = (array: Float64Array, [rows, cols]: readonly number[]): Matrix => ({
  rows: rows!,
  cols: cols!,
  at: (row, col) => array[row * cols! + col]!,
});

const transposed = ({ rows, cols, at }: Matrix): Matrix => ({
  rows: cols,
  cols: rows,
  at: (row, col) => at(col, row),
});

/** The product of two matrices, row-major. */
function product(a: Matrix, b: Matrix): Float64Array {
  const result = new Float64Array(a.rows * b.cols);
  for (let row = 0; row < a.rows; ++row) {
    for (let k = 0; k < a.cols; ++k) {
      const factor = a.at(row, k);
      for (let col = 0; col < b.cols; ++col) result[row * b.cols + col]! += factor * b.at(k, col);
    }
  }
  return result;
}

const sumOfSquares = (array: Float64Array): number => array.reduce((sum, value) => sum + value * value, 0);

function rosenbrock({ params }: Inputs): Evaluation {
  const x = params.x!;
  const grad = new Float64Array(x.length);
  let loss = 0;
  for (let i = 0; i < x.length; i += 2) {
    const rest = 1 - x[i]!;
    const bend = x[i + 1]! - x[i]! ** 2;
    loss += rest ** 2 + 100 * bend ** 2;
    grad[i] = -2 * rest - 400 * x[i]! * bend;
    grad[i + 1] = 200 * bend;
  }
  return { loss, grads: { x: grad } };
}

function beale({ params }: Inputs): Evaluation {
  const [x, y] = params.x as unknown as [number, number];
  const terms = [1.5, 2.25, 2.625].map((target, i) => {
    const power = i + 1;
    return { value: target - x + x * y ** power, dx: y ** power - 1, dy: power * x * y ** i };
  });
  const total = (of: (term: (typeof terms)[number]) => number): number =>
    terms.reduce((sum, term) => sum + of(term), 0);
  const grad = [total(({ value, dx }) => 2 * value * dx), total(({ value, dy }) => 2 * value * dy)];
  return { loss: total(({ value }) => value ** 2), grads: { x: Float64Array.from(grad) } };
}

function noisyQuadratic({ params, data, step }: Inputs): Evaluation {
  const x = params.x!;
  const scaled = x.map((value, i) => data.h![i]! * value);
  const noise = (i: number): number => (step === undefined ? 0 : 0.5 * data.xi![step * x.length + i]!);
  return {
    loss: x.reduce((sum, value, i) => sum + 0.5 * value * scaled[i]!, 0),
    grads: { x: scaled.map((value, i) => value + noise(i)) },
  };
}

function logistic({ params, data, shapes }: Inputs): Evaluation {
  const x = matrix(data.X!, shapes.X!);
  const w = params.w!;
  const dw = w.map((value) => 0.001 * value);
  let db = 0;
  let loss = 0.0005 * sumOfSquares(w);
  for (let row = 0; row < x.rows; ++row) {
    const z = w.reduce((sum, weight, col) => sum + weight * x.at(row, col), params.b![0]!);
    const y = data.y![row]!;
    loss += (Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z)))) / x.rows;
    const error = (1 / (1 + Math.exp(-z)) - y) / x.rows;
    db += error;
    w.forEach((_, col) => (dw[col]! += error * x.at(row, col)));
  }
  return { loss, grads: { w: dw, b: Float64Array.of(db) } };
}

function mlp({ params, data, shapes, step }: Inputs): Evaluation {
  const all = matrix(data.X!, shapes.X!);
  const batch = step === undefined ? all.rows : 16;
  const rowOf = (row: number): number => (step === undefined ? row : (16 * step + row) % all.rows);
  const x: Matrix = { rows: batch, cols: all.cols, at: (row, col) => all.at(rowOf(row), col) };
  const w1 = matrix(params.W1!, shapes.W1!);
  const w2 = matrix(params.W2!, shapes.W2!);

  const hidden = product(x, transposed(w1)).map((z, i) => Math.tanh(z + params.b1![i % w1.rows]!));
  const a = matrix(hidden, [batch, w1.rows]);
  const z = product(a, transposed(w2)).map((value, i) => value + params.b2![i % w2.rows]!);
  let loss = 0;
  for (let row = 0; row < batch; ++row) {
    const scores = z.subarray(row * w2.rows, (row + 1) * w2.rows);
    const top = Math.max(...scores);
    const logSum = top + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - top), 0));
    const label = data.y![rowOf(row)]!;
    loss -= (scores[label]! - logSum) / batch;
    // From here z holds the gradient of the scores.
    scores.forEach((score, c) => (scores[c] = (Math.exp(score - logSum) - (c === label ? 1 : 0)) / batch));
  }
  const dz = matrix(z, [batch, w2.rows]);
  const back = product(dz, w2).map((value, i) => value * (1 - hidden[i]! ** 2));
  const da = matrix(back, [batch, w1.rows]);
  const ones: Matrix = { rows: 1, cols: batch, at: () => 1 };
  return {
    loss,
    grads: {
      W1: product(transposed(da), x),
      b1: product(ones, da),
      W2: product(transposed(dz), a),
      b2: product(ones, dz),
    },
  };
}

function matrixSensing({ params, data, shapes }: Inputs): Evaluation {
  const [count, rows, cols] = shapes.A as readonly [number, number, number];
  const u = matrix(params.U!, shapes.U!);
  const v = matrix(params.V!, shapes.V!);
  const estimate = product(u, transposed(v));
  const pull = new Float64Array(rows * cols);
  let loss = 0;
  for (let k = 0; k < count; ++k) {
    const probe = data.A!.subarray(k * rows * cols, (k + 1) * rows * cols);
    const error = probe.reduce((sum, value, i) => sum + value * estimate[i]!, -data.y![k]!);
    loss += error ** 2 / (2 * count);
    probe.forEach((value, i) => (pull[i]! += (error * value) / count));
  }
  const m = matrix(pull, [rows, cols]);
  return { loss, grads: { U: product(m, v), V: product(transposed(m), u) } };
}

function deepLinear({ params, data, shapes }: Inputs): Evaluation {
  const x = matrix(data.X!, shapes.X!);
  const [w1, w2, w3] = ['W1', 'W2', 'W3'].map((name) => matrix(params[name]!, shapes[name]!)) as [
    Matrix,
    Matrix,
    Matrix,
  ];
  const h1 = matrix(product(w1, x), [w1.rows, x.cols]);
  const h2 = matrix(product(w2, h1), [w2.rows, x.cols]);
  const error = product(w3, h2).map((value, i) => value - data.Y![i]!);
  const d3 = matrix(
    error.map((value) => value / x.cols),
    [w3.rows, x.cols],
  );
  const d2 = matrix(product(transposed(w3), d3), [w2.rows, x.cols]);
  const d1 = matrix(product(transposed(w2), d2), [w1.rows, x.cols]);
  return {
    loss: sumOfSquares(error) / (2 * x.cols),
    grads: {
      W1: product(d1, transposed(x)),
      W2: product(d2, transposed(h1)),
      W3: product(d3, transposed(h2)),
    },
  };
}

export const tasks: Readonly<Record<string, (inputs: Inputs) => Evaluation>> = {
  rosenbrock,
  beale,
  noisyQuadratic,
  logistic,
  mlp,
  matrixSensing,
  deepLinear,
};
