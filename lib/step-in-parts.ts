import type { Group } from './group';
import type { Ahead } from './lookahead';
import type { Made } from './made';
import type { TensorArray } from './placement';
import { noMemory } from './state';
import type { StepResult } from './step-result';
import type { StepSettings } from './step-settings';

/** A step that is done part by part; see Stepper.begin in lib/native.ts. */
export interface StepInParts {
  /** All groups' hyper-parameters for it. */
  readonly hyper: Float64Array;
  /** Makes the states that it will need exist; throws where there is no memory. */
  reserve(): void;
  /** Indices of tensors of Muon, each with where its direction goes besides; see Stepper.keep in lib/native.ts. */
  keep(places: readonly (number | TensorArray)[]): void;
  /** Of this optimizer's gradients, block by block, and the norm of all ranks' blocks; see lib/native.ts. */
  squares(): Float64Array;
  norm(squares: Float64Array): number;
  /** Whether it is applied. `known`: what all gradients are, where they are more than this optimizer's. */
  begin(known?: { readonly norm: number; readonly bad: number }): boolean;
  part(end: number, isLast: boolean): void;
  finish(): StepResult;
}

/** A step of an optimizer, prepared. A GPU has no parts: there all is done in the last. */
export function stepInParts(
  { stepper, steps, bindings, placement }: Made,
  settings: StepSettings,
  groups: readonly Group[],
  className: string,
  hyper: Float64Array,
  ahead: Ahead | undefined,
): StepInParts {
  const { numbers, answer } = settings;
  const isOnHost = placement.device === undefined;
  return {
    hyper,
    reserve: () => {
      const masks = Uint32Array.from(bindings.slots, (slot) => {
        if (bindings.gradOf(slot) === null) return 0;
        const { algorithm, offset } = groups[slot.group]!;
        const row = hyper.subarray(offset, offset + algorithm.hyper.length);
        return stepper.usedStates(slot.index, row) | (ahead ? 1 << algorithm.states.length : 0);
      });
      const missing = stepper.createStates(masks, hyper);
      if (missing > 0) throw noMemory(missing, className);
    },
    keep: (places) =>
      stepper.keep(places.map((one) => (typeof one === 'number' ? one : placement.native(one)))),
    squares: () => {
      settings.known(0, -1); // that they are judged elsewhere
      return stepper.squares(hyper, numbers, answer);
    },
    norm: (squares) => stepper.norm(squares),
    begin: (known) => {
      settings.known(known?.norm ?? -1, known?.bad ?? -1);
      if (!isOnHost) {
        const mayGoOn = !known || known.bad < 0 || settings.nonFinite === 'propagate';
        if (!mayGoOn) settings.refuse(known.norm, known.bad);
        return mayGoOn;
      }
      stepper.begin(hyper, numbers, answer);
      return settings.applied;
    },
    part: (end, isLast) => {
      if (isOnHost) stepper.part(end, isLast);
      else if (isLast) stepper.step(hyper, numbers, answer);
    },
    finish: () => {
      settings.known(-1, -1);
      if (isOnHost && settings.applied) stepper.end(answer);
      return steps.finish(ahead);
    },
  };
}

/** All parts, between a call before each and one after it; where gradients are measured, all of the first come first. */
export function doInParts(
  step: StepInParts,
  measures: boolean,
  ends: Uint32Array,
  before: (part: number) => void,
  after: (part: number) => void,
): StepResult {
  if (measures) ends.forEach((_, part) => before(part));
  if (step.begin()) {
    ends.forEach((end, part) => {
      if (!measures) before(part);
      step.part(end, part === ends.length - 1);
      after(part);
    });
  }
  return step.finish();
}
