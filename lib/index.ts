export {
  EMA,
  SWA,
  type AverageOptions,
  type AverageStateDict,
  type EMAOptions,
  type WeightAverage,
} from './averages';
export { backends, type Backends, type Isa } from './backends';
export type { CommonGroupOptions } from './algorithm';
export { readCheckpointInfo, type CheckpointInfo } from './checkpoint/checkpoint';
export type { SafetensorsDType, TensorArray } from './checkpoint/dtypes';
export type { TensorInfo } from './checkpoint/header';
export {
  readSafetensors,
  writeSafetensors,
  type Safetensors,
  type SafeTensor,
} from './checkpoint/safetensors';
export {
  clipGradAdaptive,
  clipGradNorm,
  clipGradValue,
  type ClipGradAdaptiveOptions,
  type ClipGradNormOptions,
  type ClipOptions,
} from './clip-grad';
export { cuda } from './cuda';
export { Offload, type OffloadOptions } from './cuda/offload';
export type { HostTwin } from './cuda/offload-buckets';
export type { DLPackOptions } from './cuda/dlpack';
export type { ArrayOf, CudaArray, CudaDType } from './cuda/dtypes';
export { CudaError } from './cuda/errors';
export type { CudaFromOptions, CudaPointerOptions, CudaTensorOptions } from './cuda/make';
export type { CudaDevice } from './cuda/native';
export { CudaEvent, CudaStream, type CudaEventOptions, type CudaStreamOptions } from './cuda/stream';
export { CudaTensor, type TransferOptions } from './cuda/tensor';
export type {
  CommArray,
  Communicator,
  Counts,
  ReduceOp,
  ReduceOptions,
  TransferOptions as CollectiveOptions,
} from './distributed/communicator';
export { DistributedData, type DistributedDataOptions } from './distributed/distributed-data';
export { Sharded, type ShardedOptions } from './distributed/sharded';
export type { RankShare, ShardPlan } from './distributed/shard-plan';
export { mpi, type MpiOptions } from './distributed/mpi';
export { nccl, type NcclOptions } from './distributed/nccl';
export { fromDLPack, toDLPack, type DLPackArray, type HasDLPack, type ToDLPackOptions } from './dlpack';
export type { ParamGroup, ParamGroupInit } from './group';
export {
  jaxOptimizer,
  type Jax,
  type JaxArray,
  type JaxState,
  type JaxTransformation,
} from './integrations/jax';
export {
  ortParameters,
  type Ort,
  type OrtFeeds,
  type OrtMetadata,
  type OrtParameter,
  type OrtParameters,
  type OrtParametersOptions,
  type OrtSession,
  type OrtTensor,
} from './integrations/onnxruntime';
export { tfOptimizer } from './integrations/tfjs';
export type {
  Tf,
  TfGradients,
  TfNamedTensor,
  TfOptimizerOf,
  TfTensor,
  TfVariable,
} from './integrations/tfjs/framework';
export type { TfOptimizer } from './integrations/tfjs/optimizer';
export type {
  TfInner,
  TfInnerClass,
  TfOptions,
  TfOwnOptions,
  TfVariableInfo,
} from './integrations/tfjs/options';
export { Lookahead, type LookaheadOptions } from './lookahead';
export { include, nativeApi } from './native-api';
export { Optimizer, type Params } from './optimizer';
export type { ParameterState } from './state';
export type { NsCoefficients, NsPreset } from './muon/coefficients';
export type { Route, Routing } from './muon/routing';
export type { DType, HalfArray, HostArray, Rounding, StateArray, StateDType, StoredDType } from './dtypes';
export type { Format } from './formats';
export type { Layout, Parameter, Role } from './parameter';
export type { StateView } from './placement';
export type { GroupSchedules, ScheduleOf } from './plan';
export type { StateDict, TensorState } from './state-dict';
export type { StepResult, TensorDiagnostics } from './step-result';
export type { CommonOptions, LossScaler, NonFinite } from './step-settings';

export { GradScaler, type GradScalerOptions, type GradScalerState } from './grad-scaler';
export {
  groupsByName,
  noDecay,
  type GroupsByNameOptions,
  type NoDecayOptions,
  type ParamPattern,
  type ParamRules,
} from './param-groups';
export { ParamGroupList, type ListedGroup } from './param-group-list';
export * as schedules from './schedules';
export type { Schedule } from './schedules';
export {
  ReduceLROnPlateau,
  type HasLearningRates,
  type ReduceLROnPlateauOptions,
  type ReduceLROnPlateauState,
} from './schedules/reduce-lr-on-plateau';

export { AdaGrad, type AdaGradOptions } from './optimizers/adagrad';
export { Adam, type AdamOptions } from './optimizers/adam';
export { AdamW, type AdamWOptions } from './optimizers/adamw';
export { AMSGrad, type AMSGradOptions } from './optimizers/amsgrad';
export { LAMB, type LAMBOptions } from './optimizers/lamb';
export { LARS, type LARSOptions } from './optimizers/lars';
export { Lion, type LionOptions } from './optimizers/lion';
export { Momentum, type MomentumOptions } from './optimizers/momentum';
export { Muon, type MuonAdamWOptions, type MuonOptions } from './optimizers/muon';
export { NAdam, type NAdamOptions } from './optimizers/nadam';
export { NAG, type NAGOptions } from './optimizers/nag';
export { RAdam, type RAdamOptions } from './optimizers/radam';
export { Ranger, type RangerOptions } from './optimizers/ranger';
export { RMSprop, type RMSpropOptions } from './optimizers/rmsprop';
export { SGD, type SGDOptions } from './optimizers/sgd';
export { StableAdamW, type StableAdamWOptions } from './optimizers/stableadamw';
