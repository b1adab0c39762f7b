/** A network of two dense layers over the tensors of heap.ts, with its gradients written down. */
import { Heap, Variable } from './heap';

export class Network {
  readonly heap = new Heap();
  readonly hidden: Variable;
  readonly bias: Variable;
  readonly head: Variable;

  constructor(readonly width: number) {
    this.hidden = new Variable(this.heap, 'hidden.weight', [2, width], 'hidden');
    this.bias = new Variable(this.heap, 'hidden.bias', [width], 'vector');
    this.head = new Variable(this.heap, 'head.weight', [width, 1], 'head');
    this.hidden.data.forEach((_, i, data) => (data[i] = Math.sin(3 * i + 1)));
    this.head.data.forEach((_, i, data) => (data[i] = Math.cos(5 * i) / width));
  }

  get parameters(): readonly Variable[] {
    return [this.hidden, this.bias, this.head];
  }

  /** Forward and backward over points [x, y] and their targets; returns the mean squared error. */
  step(points: readonly (readonly [number, number])[], targets: readonly number[]): number {
    const { width, hidden, bias, head } = this;
    const grads = this.parameters.map((parameter) => parameter.nextGrad());
    const [hiddenGrad, biasGrad, headGrad] = grads as [Float32Array, Float32Array, Float32Array];
    let loss = 0;
    for (const [k, [x, y]] of points.entries()) {
      const active = Array.from({ length: width }, (_, j) =>
        Math.tanh(x * hidden.data[j]! + y * hidden.data[width + j]! + bias.data[j]!),
      );
      const output = active.reduce((sum, a, j) => sum + a * head.data[j]!, 0);
      const error = output - targets[k]!;
      loss += error ** 2 / points.length;
      const scale = (2 * error) / points.length;
      for (const [j, a] of active.entries()) {
        headGrad[j]! += scale * a;
        const inner = scale * head.data[j]! * (1 - a * a);
        hiddenGrad[j]! += inner * x;
        hiddenGrad[width + j]! += inner * y;
        biasGrad[j]! += inner;
      }
    }
    return loss;
  }
}
