import path from 'node:path';
import type { Peer, PeerGroup, Task } from './peer';
import { PythonWorker, type Answer } from './python';

type Mode = 'fused' | 'foreach' | 'forloop';

/** Why torch cannot do a task in this way, if so. */
function refusal({ rule }: Task, mode: Mode): string | undefined {
  if (rule.plain) return 'Steps that do more are measured beside the plain rule.';
  if (!rule.torch) {
    return rule.products ? 'torch.optim.Muon iterates in bfloat16 alone.' : `torch has no ${rule.title}.`;
  }
  const { optimizer, fused } = rule.torch;
  if (rule.products && mode !== 'forloop') return `torch has one implementation of ${optimizer}.`;
  return mode === 'fused' && !fused ? `torch has no fused CPU kernel for ${rule.title}.` : undefined;
}

/** The three ways torch takes a step, and its processes: one for each number of threads, started when needed. */
export async function torch(slow: boolean): Promise<PeerGroup & { readonly version?: string }> {
  const workers = new Map<number, PythonWorker>();
  const worker = (threads: number): PythonWorker => {
    const script = path.join(__dirname, 'torch_worker.py');
    const known = workers.get(threads) ?? new PythonWorker(script, String(threads));
    workers.set(threads, known);
    return known;
  };
  const close = (): void => {
    for (const each of workers.values()) each.close();
    workers.clear();
  };

  const open = async (name: string, threads: number, request: Answer) => {
    const process = worker(threads);
    try {
      await process.ask({ cmd: 'open', ...request });
    } catch (error) {
      return `torch: ${(error as Error).message}`;
    }
    return {
      name,
      run: async (steps: number) => Number((await process.ask({ cmd: 'run', steps })).seconds),
      close: async () => {
        await process.ask({ cmd: 'close' });
      },
    };
  };
  const peer = (mode: Mode, name: string): Peer => ({
    name,
    open: async (task) => {
      const { rule, set, threads } = task;
      const reason = refusal(task, mode);
      if (reason !== undefined || !rule.torch) return reason ?? '';
      const { optimizer, options } = rule.torch;
      return open(name, threads, { shapes: set.shapes, optimizer, options, mode, slow });
    },
  });
  // What Muon multiplies, and nothing else: a floor of torch's own.
  const products = (dtype: 'float32' | 'bfloat16'): Peer => ({
    name: `torch.mm ${dtype}`,
    open: async ({ rule, set, threads }) => {
      if (!rule.products) return 'They are for rules that multiply matrices.';
      if (dtype === 'bfloat16' && rule.products !== dtype)
        return 'Products in float32 are measured in float32.';
      return open(`torch.mm ${dtype}`, threads, { shapes: set.shapes, mode: 'products', dtype, slow });
    },
  });

  try {
    const version = String((await worker(1).ready).torch);
    const peers = [
      peer('fused', 'torch fused'),
      peer('foreach', 'torch foreach'),
      peer('forloop', 'torch for-loop'),
      products('float32'),
      products('bfloat16'),
    ];
    return { peers, version, close };
  } catch (error) {
    return { peers: [], missing: `Python cannot import torch: ${(error as Error).message}`, close };
  }
}
