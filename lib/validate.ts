import { closest, distance } from 'fastest-levenshtein';

/** How a received value is shown in an error: short, and never the contents of a large array. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object') return `${String(value)} of type ${typeof value}`;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (ArrayBuffer.isView(value)) return `a ${kind}`;
  if (Array.isArray(value)) return value.length <= 4 ? `[${value.map(String).join(', ')}]` : 'an array';
  return kind === 'Object' ? 'an object' : `a ${kind}`;
}

export function expectedType(what: string, expected: string, received: unknown): TypeError {
  return new TypeError(`Expected ${what} to be ${expected} but received ${describe(received)}.`);
}

/** For a value of the right type outside its range. */
export function expectedRange(what: string, expected: string, received: number | string): RangeError {
  return new RangeError(`Expected ${what} to be ${expected} but received ${received}.`);
}

/** A finite number for which `inRange` holds; `expected` says it in words. */
export function numberWhere(expected: string, inRange: (value: number) => boolean) {
  return (value: unknown, what: string): number => {
    if (typeof value !== 'number') throw expectedType(what, expected, value);
    if (!Number.isFinite(value) || !inRange(value)) throw expectedRange(what, expected, value);
    return value;
  };
}

/** Names other libraries use, and ours. */
const synonyms: Readonly<Record<string, string>> = {
  learningRate: 'lr',
  learning_rate: 'lr',
  epsilon: 'eps',
  wd: 'weightDecay',
  decay: 'weightDecay',
  beta1: 'betas',
  beta2: 'betas',
  b1: 'betas',
  b2: 'betas',
  rho: 'alpha',
  numThreads: 'threads',
};

const normalized = (name: string): string => name.replace(/_/g, '').toLowerCase();

/** The known name a misspelled one was probably meant to be. */
export function suggestion(name: string, known: readonly string[]): string | undefined {
  const synonym = Object.hasOwn(synonyms, name) ? synonyms[name] : undefined;
  if (synonym !== undefined && known.includes(synonym)) return synonym;
  if (known.length === 0) return undefined;
  const near = closest(
    normalized(name),
    known.map((k) => normalized(k)),
  );
  const match = known.find((k) => normalized(k) === near);
  const off = distance(normalized(name), near);
  return off < name.length && off <= Math.max(2, Math.floor(name.length / 3)) ? match : undefined;
}

/** Throws for the first key of `given` that is not known. `where` names what was given, such as `AdamW`. */
export function onlyKnown(
  given: object,
  known: readonly string[],
  where: string,
  hints: Readonly<Record<string, string>> = {},
): void {
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    const meant = suggestion(key, known);
    let help = meant ? `did you mean "${meant}"?` : `its options are ${known.join(', ')}.`;
    if (Object.hasOwn(hints, key)) help = hints[key]!;
    throw new TypeError(`Unknown option "${key}" for ${where}: ${help}`);
  }
}

/** An options object with known keys, or nothing. */
export function readOptions<T extends object>(
  options: T | undefined,
  known: readonly (keyof T & string)[],
  what: string,
): Partial<T> {
  if (options === undefined) return {};
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw expectedType(`options of ${what}`, 'an object', options);
  }
  onlyKnown(options, known, what);
  return options;
}
