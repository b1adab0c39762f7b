/** PyTorch as somebody to compare with: one Python process, asked in lines of JSON; see torch_worker.py. */
import path from 'node:path';
import { PythonWorker, type Answer } from '../peers/python';
import { rules } from '../rules';
import type { Workload } from '../workloads';
import type { Case, TorchMode } from './cases';
import type { Timed } from './timing';

/** Longer than torch takes to compile a step of a few hundred tensors. */
const patience = 180_000;

export class Torch {
  #worker: PythonWorker | undefined;
  readonly #device: 'cuda' | 'cpu';
  /** Torch's version; null where there is none, and `missing` says why. */
  version: string | null = null;
  missing: string | null = null;

  private constructor(device: 'cuda' | 'cpu') {
    this.#device = device;
  }

  /** `cpu` tries the program out where there is no GPU. */
  static async start(device: 'cuda' | 'cpu'): Promise<Torch> {
    const torch = new Torch(device);
    try {
      await torch.#start();
    } catch (error) {
      torch.missing = `Python cannot run torch here: ${(error as Error).message}`;
      torch.#worker = undefined;
    }
    return torch;
  }

  /** Nobody to compare with, and why. */
  static none(reason: string): Torch {
    const torch = new Torch('cpu');
    torch.missing = reason;
    return torch;
  }

  async #start(): Promise<void> {
    this.#worker = new PythonWorker(path.join(__dirname, 'torch_worker.py'), this.#device);
    this.version = String((await this.#worker.ready).torch);
  }

  /**
   * Asks; a worker that fails, or does not answer in time, is replaced, and its memory given back: after one error of
   * CUDA nothing works in a process any more.
   */
  async #ask(request: Answer): Promise<Answer> {
    if (!this.#worker) await this.#start();
    const worker = this.#worker!;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`torch gave no answer within ${patience / 1000} seconds`)),
        patience,
      );
    });
    try {
      return await Promise.race([worker.ask(request), late]);
    } catch (error) {
      worker.kill();
      this.#worker = undefined;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Bytes read and written a second by a copy. */
  async copyRate(bytes: number): Promise<number> {
    return Number((await this.#ask({ cmd: 'copy', bytes })).bytesPerSecond);
  }

  /** Operations a second of products of bfloat16 matrices. */
  async productRate(batch: number, size: number): Promise<number> {
    return Number((await this.#ask({ cmd: 'products', batch, size })).flops);
  }

  /** Why torch has nothing like this case, if so. */
  refusal({ rule, format }: Case, mode: TorchMode): string | undefined {
    if (this.missing !== null) return this.missing;
    const theirs = rules.get(rule)?.torch;
    if (!theirs) return `torch has no ${rules.get(rule)?.title ?? rule}.`;
    if (format.param !== format.grad) return 'torch has gradients of the type of their parameters alone.';
    if (mode === 'fused' && !theirs.fused) return `torch has no fused ${theirs.optimizer}.`;
    return undefined;
  }

  /** Makes its optimizers over tensors like ours. Throws torch's complaint. */
  async open(given: Case, set: Workload, sets: number, mode: TorchMode): Promise<Timed> {
    const { optimizer, options } = rules.get(given.rule)!.torch!;
    const dtype = given.format.param;
    await this.#ask({ cmd: 'open', shapes: set.shapes, dtype, sets, optimizer, options, mode });
    return {
      visit: async (samples, steps) => (await this.#ask({ cmd: 'visit', samples, steps })).ms as number[],
      host: async (steps) => (await this.#ask({ cmd: 'host', steps })).us as number[],
      close: async () => {
        await this.#ask({ cmd: 'close' });
      },
    };
  }

  /** Blocks of each kernel that a fused step over these tensors launches. */
  async launches(given: Case, set: Workload): Promise<number[]> {
    const timed = await this.open(given, set, 1, 'fused');
    try {
      return (await this.#ask({ cmd: 'launches' })).grids as number[];
    } finally {
      await timed.close();
    }
  }

  close(): void {
    this.#worker?.close();
  }
}
