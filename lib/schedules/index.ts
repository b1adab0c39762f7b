export { join, scaled } from './combine';
export { constant } from './constant';
export { cosine, cosineRestarts, type CosineOptions, type CosineRestartsOptions } from './cosine';
export { exponential, type ExponentialOptions } from './exponential';
export { oneCycle, oneCycleMomentum, type OneCycleMomentumOptions, type OneCycleOptions } from './one-cycle';
export { linear, polynomial, type LinearOptions, type PolynomialOptions } from './polynomial';
export type { Schedule } from './schedule';
export { multiStep, step, type MultiStepOptions, type StepOptions } from './steps';
export {
  inverseSqrt,
  warmup,
  warmupStableDecay,
  type InverseSqrtOptions,
  type WarmupOptions,
  type WarmupStableDecayOptions,
} from './warmup';
