/**
 * What the published types allow and refuse; `npm run typecheck` compiles it, nothing runs it. Every line below an
 * expected error must be one.
 */
import * as tf from '@tensorflow/tfjs';
import {
  Adam,
  AdamW,
  backends,
  cuda,
  CudaError,
  GradScaler,
  groupsByName,
  clipGradAdaptive,
  clipGradNorm,
  clipGradValue,
  EMA,
  Lion,
  NAG,
  noDecay,
  Optimizer,
  ReduceLROnPlateau,
  schedules,
  SGD,
  SWA,
  Muon,
  tfOptimizer,
  type AdamWOptions,
  type CudaEvent,
  type CudaStream,
  type CudaTensor,
  type AverageStateDict,
  type LossScaler,
  type Parameter,
  type ParamGroup,
  type ParameterState,
  type Schedule,
  type StateArray,
  type StateDict,
  type StepResult,
} from 'fused-optim';

const weight: Parameter = { name: 'w', data: new Float32Array(6), grad: null, shape: [2, 3] };

/** A framework's own tensor fits without an adapter. */
class Tensor {
  data = new Float32Array(4);
  grad: Float32Array | null = null;
  readonly shape: readonly number[] = [4];
  requiresGrad = true;
}

function* parameters(): Generator<Parameter> {
  yield weight;
  yield new Tensor();
}

export async function usage(): Promise<readonly unknown[]> {
  using optimizer = new AdamW(parameters(), { lr: 1e-3, betas: [0.9, 0.95], threads: 2 });
  const result: StepResult = optimizer.step();
  const later: Promise<StepResult> = optimizer.stepAsync();
  const applied: boolean = result.applied && (await later).applied;
  const state: ParameterState = optimizer.state(weight);
  const steps: number = state.step;
  const expAvg: StateArray | CudaTensor | number | undefined = state.expAvg;
  const dict: StateDict = optimizer.stateDict();
  optimizer.loadStateDict(dict);
  await optimizer.save('optimizer.safetensors').then(() => optimizer.load('optimizer.safetensors'));
  optimizer.zeroGrad();
  const isa: 'scalar' | 'avx2' | 'avx512' | null = backends().cpu.isa;
  const any: Optimizer<AdamWOptions> = optimizer;
  return [applied, steps, expAvg, isa, any];
}

export function inAndAroundAStep(scaler: LossScaler): readonly unknown[] {
  const optimizer = new AdamW([weight], {
    maxGradNorm: 1,
    gradScale: scaler,
    nonFinite: 'skip',
    diagnostics: true,
  });
  const { gradNorm, nonFinite, tensors } = optimizer.step();
  const ratio: number | undefined = tensors?.w?.updateRatio;
  optimizer.maxGradNorm = null;
  optimizer.gradScale = 2;
  const norm: number = clipGradNorm([weight], 1, { normType: Infinity, errorIfNonfinite: true });
  clipGradValue([weight], 0.5);
  clipGradAdaptive(new Set([new Tensor()]), { clipFactor: 0.02 });
  const ema = new EMA(parameters(), { decay: 0.99, warmup: true });
  ema.update();
  const loss: Promise<number> = ema.whileSwapped(async () => Promise.resolve(1));
  const dict: AverageStateDict = new SWA([weight]).stateDict();
  return [gradNorm, nonFinite, ratio, norm, loss, dict, optimizer.skippedSteps];
}

export function options(): void {
  // @ts-expect-error: an option of the whole optimizer
  new AdamW([{ params: [weight], maxGradNorm: 1 }]);
  // @ts-expect-error: SWA has no decay
  new SWA([weight], { decay: 0.9 });
  // @ts-expect-error: a misspelled option
  new AdamW([weight], { learningRate: 1e-3 });
  // @ts-expect-error: a number is needed
  new AdamW([weight], { lr: '1e-3' });
  // @ts-expect-error: betas come in a pair
  new AdamW([weight], { betas: [0.9] });
  // @ts-expect-error: SGD has no momentum
  new SGD([weight], { momentum: 0.9 });
  // @ts-expect-error: NAG always is
  new NAG([weight], { nesterov: true });
  // @ts-expect-error: Lion has no eps
  new Lion([weight], { eps: 1e-8 });
  // @ts-expect-error: parameters come in a list
  new SGD(weight);
  // @ts-expect-error: a parameter has data
  new SGD([{ grad: new Float32Array(1) }]);
  // @ts-expect-error: plain arrays have no memory that can be updated in place
  new SGD([{ data: [1, 2, 3] }]);
  // @ts-expect-error: the base class has no rule
  new Optimizer([weight]);
}

export function groups(): readonly unknown[] {
  const optimizer = new AdamW([{ params: [weight], lr: 1e-4, weightDecay: 0 }, { params: parameters() }], {
    lr: 1e-3,
  });
  const group: ParamGroup<AdamWOptions> = optimizer.paramGroups[0]!;
  group.lr = 1e-5;
  group.betas = [0.9, 0.99];
  const lr: number = group.lr;
  const amsgrad: boolean = group.amsgrad;
  optimizer.addParamGroup({ params: [weight], eps: 1e-6 });
  // @ts-expect-error: an option that a group does not have
  group.learningRate = 1;
  // @ts-expect-error: a number is needed
  group.lr = null;
  // @ts-expect-error: parameters of a group do not change
  group.params = [weight];
  // @ts-expect-error: threads belong to the optimizer
  optimizer.addParamGroup({ params: [weight], threads: 2 });
  // @ts-expect-error: the list is read-only
  optimizer.paramGroups[0] = group;
  // @ts-expect-error: groups of AdamW have no momentum
  new AdamW([{ params: [weight], momentum: 0.9 }]);
  // @ts-expect-error: groups and parameters do not mix
  new Adam([{ params: [weight] }, weight]);
  return [lr, amsgrad];
}

export function groupBuilders(): readonly unknown[] {
  const decayed = new AdamW(noDecay(parameters(), { weightDecay: 0.1, also: [/w/, 'b*'] }), { lr: 1e-3 });
  const plain = new SGD(noDecay([weight]));
  const named = new AdamW(
    groupsByName(
      [weight],
      [
        ['*.bias', { weightDecay: 0 }],
        [/head/, { lr: 1e-4, betas: [0.9, 0.95] }],
        [(parameter) => parameter.shape?.length === 1, { eps: 1e-6 }],
      ],
      { rest: { lr: 1e-5 }, allowUnmatched: true },
    ),
  );
  const byRecord = new AdamW(groupsByName([weight], { '*.bias': { weightDecay: 0 }, w: { lr: 1e-4 } }));
  const first: readonly Parameter[] = noDecay([weight])[0]!.params;
  // @ts-expect-error: a misspelled option
  noDecay([weight], { weightdecay: 1 });
  // @ts-expect-error: a pattern is a name, an expression or a function
  groupsByName([weight], [[1, { lr: 1 }]]);
  return [decayed, plain, named, byRecord, first];
}

export function schedulesAndScaler(): readonly unknown[] {
  const own: Schedule = (step) => 1 / (step + 1);
  const schedule: Schedule = schedules.warmup(schedules.cosine({ initValue: 1e-3, decaySteps: 100 }), {
    steps: 10,
  });
  const all: Schedule = schedules.join([schedule, own], [100]);
  const plateau = new ReduceLROnPlateau(new AdamW([weight]), { mode: 'max', minLr: [1e-5] });
  plateau.step(0.5);
  const scaler = new GradScaler({ initScale: 1024 });
  scaler.report(false);
  scaler.loadStateDict(scaler.stateDict());
  const scale: number = scaler.scale;
  // @ts-expect-error: cosine needs its number of steps
  schedules.cosine({ initValue: 1 });
  const shape = { peakValue: 1, warmupSteps: 1, stableSteps: 1, decaySteps: 1 };
  // @ts-expect-error: no such shape
  schedules.warmupStableDecay({ ...shape, decayShape: 'sqrt' });
  // @ts-expect-error: the scale is read-only
  scaler.scale = 2;
  return [all, scale];
}

/** Tensors in the memory of a GPU know the arrays that fit them. */
export async function gpu(): Promise<readonly unknown[]> {
  if (!cuda.isAvailable()) return [cuda.reason, backends().cuda.cublasReason];
  const stream: CudaStream = cuda.stream({ device: 0 });
  const event: CudaEvent = stream.record();
  using weight = cuda.from(new Float32Array(6), { shape: [2, 3], name: 'w', stream });
  const numbers: Float32Array = weight.download();
  const half: CudaTensor<'bfloat16'> = cuda.from(new Uint16Array(6), { dtype: 'bfloat16' });
  const bits: Uint16Array = await half.downloadAsync();
  const any: CudaTensor = cuda.tensor([2], 'float64');
  const theirs: CudaTensor<'float32'> = cuda.fromPointer(weight.pointer, { shape: [6], owner: weight });
  const shared: CudaTensor = cuda.fromDLPack(weight.toDLPack({ stream }));
  cuda.stream({ handle: stream.handle }).wait(event);
  // @ts-expect-error a Uint16Array does not say what it holds
  cuda.from(new Uint16Array(2));
  // @ts-expect-error addresses are bigints
  cuda.fromPointer(4096, { shape: [2] });
  return [numbers, bits, any, theirs, shared, new Error() instanceof CudaError];
}

/** The adapter is an optimizer of tfjs, to its types too, and keeps those of the class behind it. */
export function tensorflow(model: tf.Sequential, weight: tf.Variable): readonly unknown[] {
  const optimizer = tfOptimizer(tf, Muon, { lr: 0.02, adamw: { lr: 1e-3 }, role: () => 'hidden' });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  const theirs: tf.Optimizer = optimizer;
  const cost: tf.Scalar | null = optimizer.minimize(() => tf.sum(weight), true, [weight]);
  const { value, grads } = tf.variableGrads(() => tf.sum(weight));
  optimizer.applyGradients(grads);
  optimizer.schedule({ adamw: { lr: (step) => step } });
  const routes = optimizer.inner?.routing();
  // @ts-expect-error an option that AdamW does not have
  tfOptimizer(tf, AdamW, { momentum: 0.9 });
  // @ts-expect-error tfjs comes first
  tfOptimizer(AdamW, { lr: 1 });
  return [theirs, cost, value, routes];
}
