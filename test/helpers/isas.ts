import { backends, type Isa } from 'fused-optim';

interface IsaHere {
  readonly name: Isa;
  /** Why it cannot run on this machine; empty when it can. */
  readonly reason: string;
}

/** Every kernel set of the binary. */
export const isas: readonly IsaHere[] = backends().cpu.isas.map(({ name, missing }) => ({
  name,
  reason: missing.length > 0 ? `this machine lacks ${missing.join(', ')}` : '',
}));
if (isas.length === 0) throw new Error(backends().cpu.reason);

/** Those that run here, from the plainest to the widest. */
export const runnableIsas: readonly Isa[] = isas.filter(({ reason }) => !reason).map(({ name }) => name);
export const widestIsa: Isa = runnableIsas.at(-1)!;

/** Does something with environment variables set, or unset, and puts them back. */
export function withEnv<T>(values: Readonly<Record<string, string | undefined>>, action: () => T): T {
  const before = Object.keys(values).map((name): [string, string | undefined] => [name, process.env[name]]);
  const assign = (entries: readonly (readonly [string, string | undefined])[]): void => {
    for (const [name, value] of entries) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  };
  assign(Object.entries(values));
  try {
    return action();
  } finally {
    assign(before);
  }
}

/** Makes optimizers that use the given kernels; an optimizer keeps those it was made with. */
export const withIsa = <T>(isa: Isa, make: () => T): T => withEnv({ FUSED_OPTIM_ISA: isa }, make);

/** Declares the same tests for every kernel set; those that cannot run here show as skipped, with the reason. */
export function describeIsas(tests: (isa: Isa) => void): void {
  for (const { name, reason } of isas) {
    if (reason) describe.skip(`${name} (skipped: ${reason})`, () => tests(name));
    else describe(name, () => tests(name));
  }
}
