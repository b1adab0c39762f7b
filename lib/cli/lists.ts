/** Arguments of options: names between commas, and numbers, each with one sentence for what cannot be used. */
import { InvalidArgumentError } from 'commander';
import { suggestion } from '../validate';

/** A name in any case. */
export function oneOf(known: readonly string[], may = 'one'): (text: string) => string {
  return (text) => {
    const wanted = text.trim();
    const name = known.find((each) => each.toLowerCase() === wanted.toLowerCase());
    if (name !== undefined) return name;
    const meant = suggestion(wanted, known);
    const help = meant ? `Did you mean ${meant}?` : `It may be ${may} of ${known.join(', ')}.`;
    throw new InvalidArgumentError(`"${wanted}" is not known. ${help}`);
  };
}

/** Names of a list, in any case, in the order given and each once. */
export function someOf(known: readonly string[]): (text: string) => string[] {
  return (text) => [...new Set(text.split(',').map(oneOf(known, 'some')))];
}

export function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
  };
}

export function positive(text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a number > 0.');
}

export function jsonObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // The sentence below says it.
  }
  throw new InvalidArgumentError('Expected an object in JSON.');
}

export function chartFile(text: string): string {
  if (/\.(svg|png)$/i.test(text)) return text;
  throw new InvalidArgumentError('Expected a file name that ends with .svg or .png.');
}
