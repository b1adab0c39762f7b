/** What the GPU can do at most: the rates that everything else is a share of. */
import { cases, type Case } from './cases';
import { float32 } from './floors';
import type { Context } from './measure';
import { measureCase } from './measure';

export interface Ceilings {
  /** Bytes read and written a second by a plain copy; by AdamW on one large tensor where there is no torch to copy. */
  readonly bytesPerSecond: number | null;
  readonly source: 'copy' | 'AdamW' | null;
  /** AdamW on one tensor of 256 million elements: what its four reads and three writes reach. */
  readonly adamwBytesPerSecond: number | null;
  /** Operations a second of products in bfloat16, by batch and size. */
  readonly products: readonly { readonly batch: number; readonly size: number; readonly flops: number }[];
  /** Blocks of the kernels that torch's fused AdamW launches for GPT-2; null where unknown. */
  readonly torchGrids: readonly number[] | null;
}

/** The first is the rate that Muon's are compared with; then matrices of GPT-2 and Llama, as many as a layer set has. */
const products = [
  [1, 8192],
  [48, 768],
  [48, 1024],
  [24, 1600],
  [8, 4096],
] as const;

const one: Case = {
  id: 'ceilings/adamw',
  part: 'adamw',
  title: 'AdamW, fp32',
  rule: 'adamw',
  sets: ['one'],
  format: float32,
  options: {},
  torch: [],
  aims: [],
  host: false,
};

async function attempt<T>(context: Context, what: string, action: () => Promise<T>): Promise<T | null> {
  if (context.torch.missing !== null) {
    context.skip(what, context.torch.missing);
    return null;
  }
  try {
    return await action();
  } catch (error) {
    context.skip(what, error instanceof Error ? error.message : String(error));
    return null;
  }
}

export async function measureCeilings(
  context: Context,
  set: (name: string) => Parameters<Context['torch']['open']>[1],
): Promise<Ceilings> {
  const { torch, standIn, memory } = context;
  const copyBytes = standIn ? 1 << 16 : Math.min(2 ** 32, 2 ** Math.floor(Math.log2(memory / 8)));
  const copy = await attempt(context, 'copy rate', () => torch.copyRate(copyBytes));
  const adamw = await measureCase(one, context);
  const adamwRate = adamw ? adamw.gbPerSecond * 1e9 : null;
  const rates: { batch: number; size: number; flops: number }[] = [];
  for (const [batch, size] of products) {
    const [b, s] = standIn ? [Math.min(batch, 2), 32] : [batch, size];
    const flops = await attempt(context, `products, ${batch} × ${size}`, () => torch.productRate(b, s));
    if (flops !== null) rates.push({ batch, size, flops });
  }
  const gpt2 = cases[0]!;
  const grids = await attempt(context, "torch's launches", () => torch.launches(gpt2, set(gpt2.sets[0]!)));
  return {
    bytesPerSecond: copy ?? adamwRate,
    source: copy !== null ? 'copy' : adamwRate !== null ? 'AdamW' : null,
    adamwBytesPerSecond: adamwRate,
    products: rates,
    torchGrids: grids && grids.length > 0 ? grids : null,
  };
}

/** Whether torch launches its fused step in pieces of 320 blocks; null where that is not known. */
export const inPieces = ({ torchGrids }: Ceilings): boolean | null =>
  torchGrids && torchGrids.length > 1 && Math.max(...torchGrids) <= 320;
