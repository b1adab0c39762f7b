/** What commands say and how: colours on terminals only, JSON and nothing else on standard output where it is asked for. */
import { styleText } from 'node:util';

/** What a program that calls this one can tell from the exit code. */
export const exitCodes = { fine: 0, failed: 1, usage: 2 } as const;

type Style = Parameters<typeof styleText>[0];

/** Colours text for standard output; `hasColors` is there on terminals only, and knows NO_COLOR and FORCE_COLOR. */
export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(style, text) : text;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** For people, beside the result: standard error. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Three significant digits, without an exponent: 0.0123, 1.23, 12.3, 123, 12345. */
export function digits(value: number): string {
  if (value === 0) return '0';
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(decimals, 4));
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A number of bytes in the largest unit that leaves a digit before the point. */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${unit === 0 ? bytes : (bytes / 1024 ** unit).toFixed(1)} ${units[unit]!}`;
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
