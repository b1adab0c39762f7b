import type { Options } from './registry';

const words: Readonly<Record<string, readonly string[]>> = {
  trustNorm: ['gradient', 'update'],
  gradientCentralization: ['none', 'all', 'conv'],
  adjustLr: ['original', 'matchRmsAdamw', 'rmsToRms', 'none'],
  nsDtype: ['float32', 'bfloat16'],
  nsForm: ['standard', 'gram', 'auto'],
};

/** Options of a class as C is given them. */
export function numbersOf(options: Options): Record<string, number> {
  return Object.fromEntries(
    Object.entries(options).flatMap(([name, value]): [string, number][] => {
      if (name === 'betas') return (value as number[]).map((beta, i) => [`beta${i + 1}`, beta]);
      if (typeof value === 'string') return [[name, words[name]!.indexOf(value)]];
      return [[name, Number(value)]];
    }),
  );
}
