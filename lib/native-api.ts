import path from 'node:path';
import { chooseIsa, chooseThreads } from './backends';
import { camel, type Algorithm } from './algorithm';
import { usable } from './cuda/device';
import { defaultRounding } from './formats';
import * as library from './index'; // which this file is part of: it is looked at in calls only
import { native, type NativeCatalogue, type NativeOption } from './native';
import { Optimizer } from './optimizer';
import { checkChoice } from './options';
import type { Parameter } from './parameter';

/**
 * The folder of `fused_optim.h`, for the `include_dirs` of another addon's build: an absolute path. C and C++ take the
 * file; nothing has to be linked.
 */
export const include = path.join(__dirname, '..', 'native', 'include');

/**
 * The table of C functions that `fused_optim.h` declares, as a Node-API External: what another native addon steps over
 * its own memory with. It stays valid to the end of the process, in every thread.
 *
 * @param backend whether pointers are of host memory or of CUDA's
 * @throws Error when there is no binary for the backend, or no GPU; it says what was tried
 */
export function nativeApi(backend: 'cpu' | 'cuda' = 'cpu'): object {
  const asked = checkChoice(backend, ['cpu', 'cuda'], 'backend of nativeApi()');
  const addon = asked === 'cuda' ? usable('nativeApi("cuda")') : native().addon;
  return addon.nativeApi(catalogue());
}

let made: NativeCatalogue | undefined;

/** Names, options, defaults and ranges of all optimizers. C has no other source of them. */
function catalogue(): NativeCatalogue {
  const { isas, roundings } = native().addon;
  return (made ??= {
    optimizers: optimizers().flatMap(([name, parts]) =>
      parts.map((algorithm, i) => ({
        name: i === 0 ? name : `${name}.${algorithm.tag!}`,
        rule: algorithm.rule,
        options: optionsOf(algorithm),
      })),
    ),
    isa: chooseIsa(isas).value,
    threads: chooseThreads(undefined).value,
    rounding: roundings.indexOf(defaultRounding),
  });
}

type OptimizerClass = new (params: readonly Parameter[]) => Optimizer;

const isClass = (value: unknown): value is OptimizerClass =>
  typeof value === 'function' && value.prototype instanceof Optimizer;

/** Every class that the package exports, so that a new one needs no line here. */
function optimizers(): [string, readonly Algorithm[]][] {
  return Object.entries(library).flatMap(([name, Class]: [string, unknown]) => {
    if (!isClass(Class)) return [];
    const optimizer = new Class([{ data: new Float32Array(4), grad: null, shape: [2, 2] }]);
    const { algorithms } = optimizer;
    optimizer.dispose();
    return [[name, algorithms]];
  });
}

/** One for each hyper-parameter of the rule, in its order. */
function optionsOf({ rule, options, sources, hyper }: Algorithm): NativeOption[] {
  const defaults = Object.fromEntries(
    Object.entries(options).map(([name, option]) => [name, option.default]),
  );
  return native().addon.rules[rule]!.hyper.map((name, i) => {
    const source = sources[i];
    const { expected, least, most, openLeast, openMost, integer } =
      source === undefined ? { expected: '' } : options[source]!.range;
    return {
      name: camel(name),
      expected,
      least: least ?? -Infinity,
      most: most ?? (integer ? Number.MAX_SAFE_INTEGER : Infinity),
      openLeast: openLeast ?? false,
      openMost: openMost ?? false,
      integer: integer ?? false,
      fixed: source === undefined,
      // NaN where there is none: it starts as the group's lr.
      fallback: hyper[i]!(defaults),
    };
  });
}
