/** Arguments of options: names between commas, and numbers, each with one sentence for what cannot be used. */
import { InvalidArgumentError } from 'commander';
import { suggestion } from '../validate';

/** Names of a list, in any case, in the order given and each once. */
export function someOf(known: readonly string[]): (text: string) => string[] {
  return (text) => {
    const names = text.split(',').map((word) => {
      const wanted = word.trim();
      const name = known.find((each) => each.toLowerCase() === wanted.toLowerCase());
      if (name !== undefined) return name;
      const meant = suggestion(wanted, known);
      const help = meant ? `Did you mean ${meant}?` : `It may be some of ${known.join(', ')}.`;
      throw new InvalidArgumentError(`"${wanted}" is not known. ${help}`);
    });
    return [...new Set(names)];
  };
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
