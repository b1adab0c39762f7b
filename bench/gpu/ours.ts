/** This library's steps over tensors in a GPU's memory, as somebody who is timed. The only file here that calls it. */
import { backends, cuda, type CommonOptions, type CudaTensor, type Parameter } from 'fused-optim';
import { rules } from '../rules';
import { elements, type Workload } from '../workloads';
import type { Case } from './cases';
import type { Format } from './floors';
import { sharedAbove } from './sets';
import type { Timed } from './timing';

/** The GPU that is measured: the first one. */
export interface Gpu {
  readonly name: string;
  readonly computeCapability: string;
  readonly multiprocessors: number;
  readonly memory: number;
  readonly l2Bytes: number;
  readonly driver: string | null;
  readonly cublas: string | null;
  /** Played by this processor: nothing that is timed on it says anything about a GPU. */
  readonly standIn: boolean;
}

/** The GPU, or why there is none. */
export function findGpu(): Gpu | string {
  const found = backends().cuda;
  const device = found.devices[0];
  if (!found.available || !device) return found.reason;
  const { name, computeCapability, multiprocessors, memory, l2Bytes } = device;
  const { driver, cublas } = found;
  const standIn = /stand-in/i.test(name);
  return { name, computeCapability, multiprocessors, memory, l2Bytes, driver, cublas, standIn };
}

const blockLength = 1 << 20;
let block: Float32Array | undefined;

/** Standard normal numbers, the same in every run. */
function normals(): Float32Array {
  let seed = 0x2545f491;
  const uniform = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed + 0.5) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return (block ??= new Float32Array(blockLength).map(normal));
}

const asHalf = (value: number, dtype: 'bfloat16' | 'float16'): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  if (dtype === 'bfloat16') return bits >>> 16;
  const exponent = ((bits >>> 23) & 255) - 112;
  const sign = (bits >>> 16) & 0x8000;
  return exponent <= 0 ? sign : sign | Math.min((exponent << 10) | ((bits >>> 13) & 1023), 0x7bff);
};

type Host = Float32Array | Uint16Array;
const hosts = new Map<string, Host>();

/** Host memory of at least this many numbers, to upload from; kept from one workload to the next. */
function hostNumbers(length: number, sigma: number, dtype: Format['param']): Host {
  const key = `${dtype} ${sigma}`;
  const known = hosts.get(key);
  if (known && known.length >= length) return known;
  const source = normals();
  const unit = dtype === 'float32' ? source.map((x) => sigma * x) : undefined;
  const half = dtype === 'float32' ? undefined : Uint16Array.from(source, (x) => asHalf(sigma * x, dtype));
  const size = Math.ceil(length / blockLength) * blockLength;
  const made = dtype === 'float32' ? new Float32Array(size) : new Uint16Array(size);
  for (let at = 0; at < size; at += blockLength) made.set((unit ?? half)!, at);
  hosts.set(key, made);
  return made;
}

class Tensors {
  readonly parameters: Parameter[] = [];
  readonly #all = new Set<CudaTensor>();

  constructor({ shapes, parameters }: Workload, format: Format) {
    const longest = Math.max(...shapes.map(elements));
    const data = hostNumbers(longest, 0.02, format.param);
    const grads = hostNumbers(longest, 1e-3, format.grad);
    const shared = new Map<string, CudaTensor>();
    try {
      shapes.forEach((shape, index) => {
        const key = shape.join();
        const grad = shared.get(key) ?? this.#make(shape, format.grad, grads);
        if (parameters > sharedAbove) shared.set(key, grad);
        const role = shape.length > 1 ? ({ role: 'hidden' } as const) : {};
        this.parameters.push({
          name: `tensor.${index}`,
          data: this.#make(shape, format.param, data),
          grad,
          ...role,
        });
      });
    } catch (error) {
      this.free();
      throw error;
    }
  }

  #make(shape: readonly number[], dtype: Format['param'], numbers: Host): CudaTensor {
    const tensor = cuda.tensor(shape, dtype);
    this.#all.add(tensor);
    // Another place in the block for every tensor, so that no two are the same.
    const start = Math.min((this.#all.size * 7919) % blockLength, numbers.length - tensor.length);
    return tensor.upload(numbers.subarray(start, start + tensor.length));
  }

  free(): void {
    for (const tensor of this.#all) tensor.free();
  }
}

/** Optimizers over copies of a set, to rotate over. `graph`: each step is one launch of a CUDA graph. */
export function openOurs(given: Case, set: Workload, sets: number, graph: boolean): Timed {
  const rule = rules.get(given.rule)!;
  const { format } = given;
  const more: CommonOptions = {
    ...given.options,
    cudaGraph: graph,
    stateDtype: format.state,
    ...(format.rounding !== null && { rounding: format.rounding }),
  };
  const copies: { tensors: Tensors; optimizer: ReturnType<typeof rule.create> }[] = [];
  const close = (): void => {
    for (const { tensors, optimizer } of copies.splice(0)) {
      optimizer.dispose();
      tensors.free();
    }
    cuda.synchronize();
  };
  try {
    for (let i = 0; i < sets; ++i) {
      const tensors = new Tensors(set, format);
      copies.push({ tensors, optimizer: rule.create(tensors.parameters, undefined, more) });
    }
    let at = 0;
    const step = (): void => void copies[(at = (at + 1) % sets)]!.optimizer.step();
    // States are made, and graphs captured, by the first steps.
    for (let i = 0; i < 2 * sets; ++i) step();
    cuda.synchronize();
    const closed = (): Promise<void> => {
      close();
      return Promise.resolve();
    };
    return { ...timedBy(step), close: closed };
  } catch (error) {
    close();
    throw error;
  }
}

function timedBy(step: () => void): Pick<Timed, 'visit' | 'host'> {
  return {
    visit(samples, steps) {
      const ms = Array.from({ length: samples }, () => {
        const begin = cuda.event().record();
        for (let i = 0; i < steps; ++i) step();
        // Waits, so that the host never runs so far ahead that its queue is full.
        return begin.elapsed(cuda.event().record()) / steps;
      });
      return Promise.resolve(ms);
    },
    host(steps) {
      const us = Array.from({ length: steps }, (_, index) => {
        if (index % 20 === 0) cuda.synchronize();
        const start = process.hrtime.bigint();
        step();
        return Number(process.hrtime.bigint() - start) / 1000;
      });
      return Promise.resolve(us);
    },
  };
}
