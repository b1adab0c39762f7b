export { backends, type Backends, type Isa } from './backends';
export type { CommonGroupOptions, CommonOptions } from './algorithm';
export type { ParamGroup, ParamGroupInit } from './group';
export { Optimizer, type ParameterState, type Params, type StepResult } from './optimizer';
export type { DType, HostArray, Layout, Parameter, Role } from './parameter';
export type { StateDict, TensorState } from './state-dict';

export { AdaGrad, type AdaGradOptions } from './optimizers/adagrad';
export { Adam, type AdamOptions } from './optimizers/adam';
export { AdamW, type AdamWOptions } from './optimizers/adamw';
export { AMSGrad, type AMSGradOptions } from './optimizers/amsgrad';
export { Lion, type LionOptions } from './optimizers/lion';
export { Momentum, type MomentumOptions } from './optimizers/momentum';
export { NAdam, type NAdamOptions } from './optimizers/nadam';
export { NAG, type NAGOptions } from './optimizers/nag';
export { RAdam, type RAdamOptions } from './optimizers/radam';
export { RMSprop, type RMSpropOptions } from './optimizers/rmsprop';
export { SGD, type SGDOptions } from './optimizers/sgd';
