import { Bindings } from './bindings';
import type { Stepper } from './native';
import type { Parameter } from './parameter';
import { placementOf, type Placement } from './placement';
import { Steps } from './steps';
import type { CommonOptions, StepSettings } from './step-settings';

/** What an optimizer has from its first parameter on, whose memory says where it computes. */
export interface Made {
  readonly placement: Placement;
  readonly stepper: Stepper;
  readonly bindings: Bindings;
  readonly steps: Steps;
}

export function make(
  { data }: Parameter,
  className: string,
  rules: readonly string[],
  settings: StepSettings,
  options: CommonOptions,
): Made {
  const placement = placementOf(data, className, options);
  const stepper = placement.stepper(rules);
  const bindings = new Bindings(stepper, placement);
  const isBehind = placement.device !== undefined;
  return { placement, stepper, bindings, steps: new Steps(className, settings, stepper, bindings, isBehind) };
}
