import type { Bindings } from './bindings';
import type { Group } from './group';
import type { Ahead } from './lookahead';
import type { Stepper } from './native';
import type { Plan } from './plan';
import { noMemory } from './state';
import { badGradient, diagnosticsOf, lazyResult, resultOf, type StepResult } from './step-result';
import type { StepSettings } from './step-settings';

/** Rows of hyper-parameters that are computed ahead for a device that counts steps itself. */
const windowRows = 32;
/** Steps whose outcome nobody has asked for; the device keeps 64. */
const mostPending = 48;

/** A step that was queued and whose outcome is not known yet. */
interface Pending {
  readonly serial: number;
  readonly ahead: Ahead | undefined;
  result: StepResult | undefined;
}

/**
 * The steps of one optimizer: the numbers each is given, how many were taken, and what became of them. A step on a GPU
 * is pending until somebody reads its result, or the next step needs to know.
 */
export class Steps {
  #table = new Float64Array(0);
  #firstRow = 0;
  #rows = 0;
  #taken = 0;
  #skipped = 0;
  #known = 0;
  #last = 0;
  #pending: Pending[] = [];
  /** Reads the reports of the last step, which the next will overwrite. */
  #readReports: (() => void) | undefined;

  constructor(
    private readonly className: string,
    private readonly settings: StepSettings,
    private readonly stepper: Stepper,
    private readonly bindings: Bindings,
    private readonly isBehind: boolean,
  ) {}

  get taken(): number {
    this.settle();
    return this.#taken;
  }
  get skipped(): number {
    this.settle();
    return this.#skipped;
  }
  /** Whether there is a step to wait for. */
  get arePending(): boolean {
    return this.#pending.length > 0;
  }

  /** Continues from a checkpoint. */
  restart(taken: number, skipped: number): void {
    this.settle();
    this.#taken = taken;
    this.#skipped = skipped;
    this.#rows = 0;
  }

  /** Groups were added: rows are of another length. */
  regroup(): void {
    this.#rows = 0;
  }

  /** Writes what the coming step is given; returns its rows of hyper-parameters. */
  begin(plan: Plan, groups: readonly Group[], isKept: boolean, ahead: Ahead | undefined): Float64Array {
    const { settings } = this;
    this.#readReports?.();
    if (this.#pending.length > 0) this.#catchUp(ahead);
    settings.begin(isKept, ahead);
    const at = this.#taken + (this.#maySkip ? this.#pending.length : 0);
    const counted = this.isBehind && !plan.isEmpty && (settings.graph || this.#maySkip);
    const table = this.#fill(plan, groups, at, counted ? windowRows : 1);
    settings.count(this.#rows, this.#firstRow, this.#taken, this.#known);
    return table;
  }

  get #maySkip(): boolean {
    return this.settings.nonFinite === 'skip' && !this.settings.isJudged;
  }

  /** Learns what can be learnt without waiting, and waits for what the next step has to know. */
  #catchUp(ahead: Ahead | undefined): void {
    const { scaler } = this.settings;
    if ((scaler && !scaler.expect) || ahead?.onSync) return this.settle();
    while (
      this.#pending.length > mostPending ||
      (this.#pending[0] && this.stepper.done(this.#pending[0].serial))
    )
      this.#resolve(this.#pending[0]!);
  }

  /** Rows from the step `at` on. Those of steps to come hold as long as the one of this step is what it was. */
  #fill(plan: Plan, groups: readonly Group[], at: number, rows: number): Float64Array {
    const width = groups.reduce((sum, { algorithm }) => sum + algorithm.hyper.length, 0);
    const write = (step: number, row: Float64Array): void => {
      plan.apply(step, groups);
      for (const group of groups)
        group.write(row.subarray(group.offset, group.offset + group.algorithm.hyper.length));
    };
    if (this.#table.length !== width * rows) {
      this.#table = new Float64Array(width * rows);
      this.#rows = 0;
    }
    const table = this.#table;
    if (rows === 1) {
      write(at, table);
      this.#firstRow = 0; // whatever the step: the last row goes on
      this.#rows = 1;
      return table;
    }
    const current = new Float64Array(width);
    write(at, current);
    const place = (at - this.#firstRow) * width;
    const isKnown =
      this.#rows === rows &&
      at >= this.#firstRow &&
      at < this.#firstRow + rows &&
      current.every((value, i) => Object.is(value, table[place + i]));
    if (isKnown) return table;
    // From the last step that is known to be applied: pending ones may yet turn out to be skipped.
    this.#firstRow = this.#taken;
    this.#rows = rows;
    for (let row = 0; row < rows; ++row)
      write(this.#firstRow + row, table.subarray(row * width, (row + 1) * width));
    write(at, current);
    return table;
  }

  /** Takes note of what the native step answered. */
  finish(ahead: Ahead | undefined): StepResult {
    const { settings, stepper, bindings } = this;
    if (settings.bytesWanted > 0) throw noMemory(settings.bytesWanted, this.className);
    const { pending: serial } = settings;
    if (serial > 0) {
      const step: Pending = { serial, ahead, result: undefined };
      this.#last = serial;
      this.#pending.push(step);
      if (!this.#maySkip) this.#applied(ahead);
      settings.scaler?.expect?.(() => this.#until(serial));
      return this.#lazy(step);
    }
    settings.scaler?.report(settings.badTensor !== undefined);
    if (settings.applied) {
      this.#applied(ahead);
    } else {
      if (settings.nonFinite === 'throw') {
        const slot = bindings.slots[settings.badTensor!]!;
        throw badGradient(slot, bindings.gradOf(slot));
      }
      ++this.#skipped;
    }
    if (this.isBehind && settings.diagnostics && settings.applied) return this.#lazy(undefined);
    return resultOf(settings, this.#taken, bindings, stepper);
  }

  #applied(ahead: Ahead | undefined): void {
    ++this.#taken;
    ahead?.applied();
  }

  /** A result that is read when it is looked at; `step`: what has to be known first. */
  #lazy(step: Pending | undefined): StepResult {
    const { settings, stepper } = this;
    const took = settings.diagnostics ? this.bindings.withGrad() : [];
    const taken = this.#taken;
    const known = step && this.#maySkip ? {} : { applied: true as const, step: taken };
    let result: StepResult | undefined;
    const wait = (): StepResult => {
      if (result) return result;
      if (step) this.#until(step.serial);
      const base = step?.result ?? { applied: true, step: taken };
      if (!settings.diagnostics || !base.applied) return (result = base);
      const tensors = diagnosticsOf(took, stepper.reports());
      const squares = Object.values(tensors).map(({ gradNorm }) => gradNorm ** 2);
      const gradNorm = base.gradNorm ?? Math.sqrt(squares.reduce((sum, one) => sum + one, 0));
      return (result = { ...base, gradNorm, tensors });
    };
    if (settings.diagnostics) {
      const read = (): void => {
        wait();
        this.#readReports = undefined;
      };
      this.#readReports = read;
    }
    return lazyResult(known, wait);
  }

  /** Waits for all steps that are pending. */
  settle(): void {
    this.#until(this.#last);
  }

  #until(serial: number): void {
    while (this.#pending[0] && this.#pending[0].serial <= serial) this.#resolve(this.#pending[0]);
  }

  #resolve(step: Pending): void {
    const { settings, stepper, bindings } = this;
    const { serial, ahead } = step;
    stepper.wait(serial, settings.answer);
    this.#pending.shift();
    this.#known = serial;
    if (this.#maySkip) {
      if (settings.applied) this.#applied(ahead);
      else ++this.#skipped;
    }
    const { applied, gradNorm, badTensor } = settings;
    step.result = {
      applied,
      step: this.#taken,
      ...(gradNorm === undefined ? {} : { gradNorm }),
      ...(badTensor === undefined ? {} : { nonFinite: bindings.slots[badTensor]!.name }),
    };
    settings.scaler?.report(badTensor !== undefined);
  }
}
