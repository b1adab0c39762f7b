import { isHostArray } from './dtypes';
import type { Parameter } from './parameter';

export const sharedMemory = (a: string, b: string): RangeError =>
  new RangeError(
    `Expected data of "${a}" and "${b}" to be apart but they share memory: both would be updated twice.`,
  );

/** Views over one buffer may lie beside each other, not on each other. Other sharing is found by address at a step. */
export function refuseOverlap(
  tensors: readonly { readonly name: string; readonly parameter: Parameter }[],
): void {
  const byBuffer = new Map<unknown, { name: string; begin: number; end: number }[]>();
  for (const { name, parameter } of tensors) {
    const { data } = parameter;
    if (!isHostArray(data) || data.length === 0) continue; // a step will speak of it
    const { buffer, byteOffset, byteLength } = data as ArrayBufferView;
    const ranges = byBuffer.get(buffer) ?? [];
    ranges.push({ name, begin: byteOffset, end: byteOffset + byteLength });
    byBuffer.set(buffer, ranges);
  }
  for (const ranges of byBuffer.values()) {
    ranges.sort((a, b) => a.begin - b.begin);
    ranges.forEach((range, i) => {
      const before = ranges[i - 1];
      if (before && range.begin < before.end) throw sharedMemory(before.name, range.name);
    });
  }
}
