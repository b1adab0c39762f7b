/** Rates that `plan` computes times from. */
import { InvalidArgumentError } from 'commander';

export interface Network {
  readonly name: string;
  /** 10⁹ bytes a second that a rank can send, and receive at the same time. */
  readonly gbPerSecond: number;
}

/** What the links can do by their makers' data; programs reach less. */
const presets: readonly Network[] = [
  // 18 links of NVLink 4 have 900 GB/s, both directions together. https://www.nvidia.com/en-us/data-center/h100/
  { name: 'nvlink', gbPerSecond: 450 },
  // One NDR port of 400 Gb/s. https://docs.nvidia.com/networking/display/mms4x00ns400/overview
  { name: 'infiniband', gbPerSecond: 50 },
  // 100GBASE and 10GBASE. https://standards.ieee.org/ieee/802.3/10422/
  { name: 'ethernet', gbPerSecond: 12.5 },
  { name: 'ethernet-10g', gbPerSecond: 1.25 },
];

export const networkNames = presets.map(({ name }) => name);

/** 10¹² operations a second: Muon of this library on an NVIDIA H200 in bfloat16, docs/performance.md. */
export const defaultFlops = 400;

/** Names of presets and GB/s between commas. */
export function networksOption(text: string): Network[] {
  return text.split(',').map((word) => {
    const known = presets.find(({ name }) => name === word.trim().toLowerCase());
    const gbPerSecond = word.trim() === '' ? NaN : Number(word);
    if (known) return known;
    if (Number.isFinite(gbPerSecond) && gbPerSecond > 0) return { name: `${gbPerSecond} GB/s`, gbPerSecond };
    throw new InvalidArgumentError(`Expected ${networkNames.join(', ')}, or a number of GB/s.`);
  });
}

export const allNetworks = (): readonly Network[] => presets;
