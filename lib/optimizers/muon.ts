import type { CommonGroupOptions, Composite, Piece } from '../algorithm';
import { checkSplit, route, Routing } from '../muon/routing';
import { nsCoefficients, type NsCoefficients } from '../muon/coefficients';
import { betas, choice, flag, fraction, integer, nonNegative, startingLr } from '../options';
import { Optimizer, type Params } from '../optimizer';
import { identify, type Parameter } from '../parameter';
import type { StateDict } from '../state-dict';
import type { CommonOptions } from '../step-settings';
import { expectedType, onlyKnown } from '../validate';

/** Options of the parameters that go to AdamW. */
export interface MuonAdamWOptions {
  /** Learning rate; >= 0. @default 3e-4 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.95] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. @default 1e-10 */
  eps?: number | undefined;
  /** Decoupled weight decay; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** As AdamW's. @default false */
  amsgrad?: boolean | undefined;
  /** As AdamW's. @default false */
  decoupleLr?: boolean | undefined;
  /** As AdamW's. @default the group's first `lr` */
  maxLr?: number | undefined;
}

export interface MuonOptions extends CommonGroupOptions {
  /** Learning rate of the matrices; >= 0. @default 0.02 */
  lr?: number | undefined;
  /** Decay rate of the running mean of the gradient; in [0, 1). @default 0.95 */
  momentum?: number | undefined;
  /** Mix the gradient into its mean as Nesterov does. @default true */
  nesterov?: boolean | undefined;
  /** Decoupled weight decay; >= 0. A step shrinks the weights by `lr * weightDecay`. @default 0 */
  weightDecay?: number | undefined;
  /**
   * What `lr` is multiplied by for a matrix of `out × in`: `√max(1, out/in)` (original, torch), `0.2 √max(out, in)`
   * (matchRmsAdamw: updates as large as AdamW's, Moonlight), `√(out/in)` (rmsToRms), or 1 (none). @default 'original'
   */
  adjustLr?: 'original' | 'matchRmsAdamw' | 'rmsToRms' | 'none' | undefined;
  /** Equal parts of the output axis that are matrices of their own: 3 for fused query, key and value. @default 1 */
  split?: number | undefined;
  /** Steps of Newton–Schulz iteration; an integer in [1, 99]. @default 5 */
  nsSteps?: number | undefined;
  /** Coefficients of the steps: a preset, one triple, or one a step, of which the last repeats. @default 'jordan' */
  nsCoefficients?: NsCoefficients | undefined;
  /** Matrices are divided by their norm, but by no less than this; >= 0. @default 1e-7 */
  nsEps?: number | undefined;
  /** Precision of the iteration: bfloat16 rounds as torch's Muon does. @default 'float32' */
  nsDtype?: 'float32' | 'bfloat16' | undefined;
  /**
   * How the iteration is computed: as it is written, on the smaller Gram matrix (same result within rounding, less work
   * for oblong matrices), or by whichever takes less work. @default 'standard'
   */
  nsForm?: 'standard' | 'gram' | 'auto' | undefined;
  /**
   * How matrices in CUDA memory are iterated: in bfloat16 with the roundings of torch's Muon (standard), in float32 or,
   * where `nsDtype` is bfloat16, in float16 (precise), in float16 and the Gram form for matrices that it pays for
   * (fast), or in tf32. By itself: float32 in `nsForm`; bfloat16 as standard, or as fast where `nsForm` is not
   * standard. @default 'auto'
   */
  cudaMode?: 'auto' | 'standard' | 'precise' | 'fast' | 'tf32' | undefined;
  /**
   * Bytes of CUDA memory that the iteration may take, an integer >= 1; more matrices than fit take turns, and one that
   * does not fit takes what it needs. @default 2 ** 29
   */
  workspaceBytes?: number | undefined;
  /** Options of the parameters that go to AdamW. */
  adamw?: MuonAdamWOptions | undefined;
}

/**
 * Muon: momentum whose matrices are orthogonalized, for the hidden matrices of a network; all else by AdamW. State:
 * `momentumBuffer`, or AdamW's `expAvg`, `expAvgSq`.
 *
 *     b ← b + (1 − momentum) · (g − b)              u = g + momentum · (b − g)
 *     X = u / max(‖u‖, nsEps);  nsSteps times:  X ← aX + (bA + cA²)X  with A = XXᵀ
 *     p ← p · (1 − lr · weightDecay) − lr · scale · X
 *
 * Parameters are routed by `role`, then by name (embeddings, heads), then by shape; `routing()` says where each
 * went and why. Tensors of more axes than two are flattened to outputs × all others. Each given group becomes up to two
 * live groups, of `algorithm` `'muon'` and `'adamw'`; a group's own options are Muon's, and those in `adamw` AdamW's.
 *
 * Matrices are float32, bfloat16 or float16; their momentum is float32 or bfloat16, and stays float32 with `stateDtype: '8bit'`.
 *
 * @see Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. https://kellerjordan.github.io/posts/muon
 * @see Liu et al., "Muon is Scalable for LLM Training", 2025. https://arxiv.org/abs/2502.16982
 */
export class Muon extends Optimizer<MuonOptions> {
  constructor(params: Params<MuonOptions>, options: MuonOptions & CommonOptions = {}) {
    super(composite, params, options, [...Object.keys(muon.options), 'maximize', 'adamw']);
    const routing = this.routing();
    if (routing.some(({ optimizer }) => optimizer === 'muon')) return;
    const list = routing.slice(0, 3).map(({ name, why }) => `"${name}" (${why})`);
    this.dispose();
    throw new RangeError(
      `Expected Muon to have a hidden matrix but all ${routing.length} parameters go to AdamW: ` +
        `${list.join(', ')}${routing.length > 3 ? ', …' : ''}; set role: "hidden" on its matrices, or use AdamW.`,
    );
  }

  /** A copy of everything the optimizer knows, by parameter name; with the routing. */
  override stateDict(): StateDict {
    return { ...super.stateDict(), routing: this.routing().map((entry) => ({ ...entry })) };
  }

  /** Every parameter, the algorithm it went to, and why; prints as a table. */
  routing(): Routing {
    return new Routing(...this.parameters().map(([parameter, identity]) => route(parameter, identity)));
  }
}

const muon = {
  className: 'Muon',
  tag: 'muon',
  rule: 'muon',
  whole: true,
  // Products of matrices are computed in float32.
  dtypes: ['float32', 'bfloat16', 'float16'] as const,
  options: {
    lr: nonNegative(0.02),
    momentum: fraction(0.95),
    nesterov: flag(true),
    weightDecay: nonNegative(0),
    adjustLr: choice(['original', 'matchRmsAdamw', 'rmsToRms', 'none'], 'original'),
    split: integer(1, 2 ** 20, 1),
    nsSteps: integer(1, 99, 5),
    nsCoefficients: nsCoefficients('jordan'),
    nsEps: nonNegative(1e-7),
    nsDtype: choice(['float32', 'bfloat16'], 'float32'),
    nsForm: choice(['standard', 'gram', 'auto'], 'standard'),
    cudaMode: choice(['auto', 'standard', 'precise', 'fast', 'tf32'], 'auto'),
    workspaceBytes: integer(1, Infinity, 2 ** 29),
  },
  suits: ({ split }: Readonly<Record<string, unknown>>, where: string, params: readonly Parameter[]) => {
    if (split === 1) return;
    params.forEach((parameter, i) => checkSplit(parameter, identify(parameter, i), split as number, where));
  },
};

const adamw = {
  className: 'Muon (adamw)',
  tag: 'adamw',
  rule: 'adamw',
  options: {
    lr: nonNegative(3e-4),
    betas: betas([0.9, 0.95]),
    eps: nonNegative(1e-10),
    weightDecay: nonNegative(0),
    amsgrad: flag(false),
    decoupleLr: flag(false),
    maxLr: startingLr(),
  },
};

function optionsOf(given: unknown): Readonly<Record<string, unknown>> {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null)
    throw expectedType('adamw of Muon', 'an object of options', given);
  onlyKnown(given, Object.keys(adamw.options), 'adamw of Muon');
  return given as Readonly<Record<string, unknown>>;
}

const composite: Composite = {
  className: 'Muon',
  parts: [muon, adamw],
  divide(entries, { adamw: own, ...given }, { adamw: all, ...defaults }): readonly Piece[] {
    const { maximize } = { ...defaults, ...given };
    const shared = maximize === undefined ? {} : { maximize };
    const pieces = [
      { part: 0, algorithm: 'muon', given, defaults },
      { part: 1, algorithm: 'adamw', given: optionsOf(own), defaults: { ...shared, ...optionsOf(all) } },
    ];
    return pieces
      .map(({ algorithm, ...piece }) => {
        const mine = entries.filter(
          ({ parameter, identity }) => route(parameter, identity).optimizer === algorithm,
        );
        return { ...piece, params: mine.map(({ parameter }) => parameter) };
      })
      .filter(({ params }) => params.length > 0);
  },
};
