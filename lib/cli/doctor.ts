import { backends } from '../backends';
import type { CudaDevice } from '../cuda/native';

const inWords = ({ name, computeCapability, memory, multiprocessors }: CudaDevice): string =>
  `${name}, compute capability ${computeCapability}, ${(memory / 2 ** 30).toFixed(1)} GiB, ${multiprocessors} multiprocessors`;

/** Prints what this machine offers. Returns the exit code. */
export function doctor(json: boolean): number {
  const { cpu, cuda } = backends();
  if (json) {
    process.stdout.write(`${JSON.stringify({ node: process.version, cpu, cuda }, null, 2)}\n`);
  } else {
    const rows: [string, string][] = [
      ['node', `${process.version}, ${process.platform}-${process.arch}`],
      ['binary', cpu.binary ?? 'none'],
      ['cpu kernels', cpu.isa ? `${cpu.isa}: ${cpu.reason}` : cpu.reason],
      ['threads', `${cpu.threads}: ${cpu.threadsReason}`],
      ['cuda', cuda.reason],
      ...cuda.devices.map((device): [string, string] => [`device ${device.index}`, inWords(device)]),
    ];
    if (cuda.available) rows.push(['cublas', cuda.cublas ?? cuda.cublasReason]);
    for (const [name, value] of rows) process.stdout.write(`${name.padEnd(12)} ${value}\n`);
  }
  return cpu.isa ? 0 : 1;
}
