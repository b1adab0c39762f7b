import type { Option } from '../options';
import { describe, expectedRange, expectedType, suggestion } from '../validate';

/** Coefficients a, b, c of a step `X ← aX + (bA + cA²)X` with `A = XXᵀ`. */
export type Triple = readonly [number, number, number];

/** Named lists of coefficients, one triple a step; the last one repeats. */
export const presets = {
  /** Keller Jordan's, as torch's: quick, singular values end in about [0.7, 1.2]. https://kellerjordan.github.io/posts/muon */
  jordan: [[3.4445, -4.775, 2.0315]],
  /** Five different steps, found by You Jiacheng; timm's default. https://github.com/KellerJordan/Muon/pull/14 */
  quintic: [
    [4.0848, -6.8946, 2.927],
    [3.9505, -6.3029, 2.6377],
    [3.7418, -5.5913, 2.3037],
    [2.8769, -3.1427, 1.2046],
    [2.8366, -3.0525, 1.2012],
  ],
  /** Amsel et al., "The Polar Express", 2025, https://arxiv.org/abs/2505.16932; for five steps, with a safety factor of 2 %. */
  polarExpress: [
    [8.156554524902461, -22.48329292557795, 15.878769915207462],
    [4.0429299351667245, -2.808917465908704, 0.5000178451051299],
    [3.8916678022926563, -2.7724841532176825, 0.5060648178503389],
    [3.285753657755658, -2.3681294933425394, 0.46449024233003117],
    [2.3005307116270983, -1.6111665557258408, 0.3833374427545273],
  ],
} as const satisfies Readonly<Record<string, readonly Triple[]>>;

export type NsPreset = keyof typeof presets;
export type NsCoefficients = NsPreset | Triple | readonly Triple[];

/** As many as native code has room for. */
export const maxTriples = 16;

const names = Object.keys(presets) as NsPreset[];
const expected = `${names.map((name) => `"${name}"`).join(' or ')}, three numbers, or a list of these`;

function triple(value: unknown, what: string): Triple {
  if (!Array.isArray(value) || value.length !== 3) throw expectedType(what, 'three numbers', value);
  for (const number of value as readonly unknown[]) {
    if (typeof number !== 'number') throw expectedType(what, 'three numbers', value);
    if (!Number.isFinite(number)) throw expectedRange(what, 'three finite numbers', `[${value.join(', ')}]`);
  }
  return [...(value as unknown as Triple)];
}

const listOf = (value: NsCoefficients): readonly Triple[] => {
  if (typeof value === 'string') return presets[value];
  return typeof value[0] === 'number' ? [value as Triple] : (value as readonly Triple[]);
};

/** A preset, a triple, or a list of triples. */
export const nsCoefficients = (fallback: NsPreset): Option<NsCoefficients> => ({
  default: fallback,
  range: { expected: 'a finite number' },
  check(value, name, where) {
    const what = `${name} of ${where}`;
    if (typeof value === 'string') {
      if (Object.hasOwn(presets, value)) return value as NsPreset;
      const meant = suggestion(value, names);
      throw new TypeError(
        `Expected ${what} to be ${expected} but received ${describe(value)}${meant ? `; did you mean "${meant}"?` : '.'}`,
      );
    }
    if (!Array.isArray(value)) throw expectedType(what, expected, value);
    if (typeof value[0] === 'number') return triple(value, what);
    if (value.length === 0 || value.length > maxTriples)
      throw expectedRange(what, `a list of 1 to ${maxTriples} triples`, value.length);
    return (value as readonly unknown[]).map((one, i) => triple(one, `${name}[${i}] of ${where}`));
  },
  numbers: (value) => {
    const list = listOf(value as NsCoefficients);
    return Array.from({ length: maxTriples }, (_, i) => list[Math.min(i, list.length - 1)]!).flat();
  },
});
