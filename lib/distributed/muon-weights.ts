import { Bindings } from '../bindings';
import type { Group } from '../group';
import type { Optimizer } from '../optimizer';
import type { Parameter } from '../parameter';
import { noMemory } from '../state';
import { StepSettings } from '../step-settings';
import type { Memory } from './memory';
import type { Share } from './shares';

/** What a bucket's matrices are moved by, which it always is in one call. */
interface Bucket {
  readonly bindings: Bindings;
  readonly twins: Map<Share, Parameter>;
  step(hyper: Float64Array): void;
}

/**
 * Other ranks' matrices of Muon, which are moved by directions that their owners have orthogonalized: by the rule
 * `muon_weights`, an update like any other, whose gradient is the direction. There is no state.
 */
export class MuonWeights {
  readonly #groups: readonly Group[];
  readonly #buckets = new Map<number, Bucket>();

  constructor(private readonly inner: Optimizer) {
    this.#groups = [...new Set(inner.order.map(({ slot }) => inner.groupOf(slot)))];
  }

  /** Moves whole parameters. `hyper`: the options of the owners' step. */
  move(
    index: number,
    moved: readonly { readonly share: Share; readonly direction: Memory }[],
    hyper: Float64Array,
  ): void {
    let bucket = this.#buckets.get(index);
    if (!bucket) this.#buckets.set(index, (bucket = this.#make()));
    const { bindings, twins } = bucket;
    for (const { share, direction } of moved) {
      const { slot, data, parameter } = share;
      let twin = twins.get(share);
      if (!twin) {
        twin = { data, layout: parameter.layout, dtype: 'bfloat16' };
        twins.set(share, twin);
        const { name, shape, length, first, dtype, group } = slot;
        const facts = { name, shape, length, first, dtype, group, parameter: twin, states: [] };
        const format = { dtype, states: 'float32' } as const;
        bindings.add([{ ...facts, format, bits: 'bfloat16' }], () => undefined);
      }
      twin.data = data;
      twin.grad = direction;
    }
    bindings.refresh();
    bucket.step(hyper);
    for (const twin of twins.values()) twin.grad = null;
  }

  #make(): Bucket {
    const { placement } = this.inner;
    const rules = this.#groups.map(({ algorithm: { rule } }) => (rule === 'muon' ? 'muon_weights' : rule));
    const stepper = placement.stepper(rules);
    rules.forEach((_, i) => stepper.addGroup(i));
    const settings = new StepSettings('Sharded', {});
    settings.begin(false, undefined);
    return {
      bindings: new Bindings(stepper, placement),
      twins: new Map(),
      step: (hyper) => {
        const rows = hyper.slice();
        // The direction is that of the sign already.
        for (const { offset } of this.#groups) rows[offset] = 0;
        stepper.step(rows, settings.numbers, settings.answer);
        if (settings.bytesWanted > 0) throw noMemory(settings.bytesWanted, 'Sharded');
      },
    };
  }
}
