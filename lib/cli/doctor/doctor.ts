/** `fused-optim doctor`: what this machine offers, and what is missing with the reason and the fix. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { backends, type Backends } from '../../backends';
import type { CudaDevice } from '../../cuda/native';
import { candidates, cudaCandidates, firstOf, type FailedLoad } from '../../native';
import { AdamW } from '../../optimizers/adamw';
import { bytesText, exitCodes, paint, plural, print, printJson } from '../output';
import { environment, findings, type Finding } from './findings';
import { describeMachine, type Machine } from './machine';

/** Where lib/native.ts looks for binaries, and where the manifest lies. */
const packageRoot = path.join(__dirname, '..', '..', '..');

/** A file that was tried: `null` for the one that was loaded, else why it was not. */
interface Tried {
  readonly path: string;
  readonly failure: string | null;
}

function tries(paths: readonly string[]): { failures: readonly FailedLoad[]; tried: Tried[] } {
  const { found, failures } = firstOf(paths);
  const tried = failures.map(({ path: file, reason }) => ({ path: file, failure: reason }));
  return { failures, tried: found ? [...tried, { path: found.path, failure: null }] : tried };
}

/** Takes a step whose result is known. Returns what is wrong with it, in a sentence, or null. */
function tryStep(): string | null {
  try {
    const data = new Float32Array([1, -1]);
    const optimizer = new AdamW([{ data, grad: new Float32Array([2, -2]) }], { lr: 0.25, weightDecay: 0 });
    optimizer.step();
    optimizer.dispose();
    const right = Math.abs(data[0]! - 0.75) < 1e-6 && data[1] === -data[0]!;
    return right ? null : `it gave [${data.join(', ')}], expected [0.75, -0.75].`;
  } catch (error) {
    return (error as Error).message;
  }
}

const inWords = ({ name, computeCapability, memory, multiprocessors }: CudaDevice): string =>
  `${name}, compute capability ${computeCapability}, ${bytesText(memory)}, ${multiprocessors} multiprocessors`;

function machineRows(machine: Machine): [string, string][] {
  const { cpu, cpuFeatures, cores, memoryBytes, memoryLimitBytes } = machine;
  const limit = memoryLimitBytes === null ? '' : `, limited to ${bytesText(memoryLimitBytes)}`;
  return [
    ['node', `${machine.node}, ${machine.platform}`],
    ['system', [machine.os, machine.libc].filter(Boolean).join(', ')],
    ['cpu', `${cpu}, ${plural(cores, 'core')}`],
    ['cpu features', cpuFeatures?.join(' ') ?? 'this system has no list of them'],
    ['memory', bytesText(memoryBytes) + limit],
  ];
}

function triedRows(name: string, tried: readonly Tried[]): [string, string][] {
  return tried.map(({ path: file, failure }, i) => [i === 0 ? name : '', `${file}: ${failure ?? 'loaded'}`]);
}

function cpuRows(cpu: Backends['cpu'], tried: readonly Tried[], step: string | null): [string, string][] {
  const kernels = cpu.isa ? `${cpu.isa}: ${cpu.reason}` : `none: ${cpu.reason.split('\n')[0]}`;
  const sets = cpu.isas.map(({ name, missing }) =>
    `${name} ${missing.length > 0 ? '(not here)' : ''}`.trim(),
  );
  return [
    ['binary', cpu.binary ?? 'none'],
    ...triedRows('tried', tried),
    ['cpu kernels', kernels],
    ['kernel sets', sets.join(', ') || 'none'],
    ['threads', `${cpu.threads}: ${cpu.threadsReason}`],
    ['a step', cpu.isa === null ? 'not tried' : (step ?? 'gave the right numbers')],
  ];
}

function cudaRows(cuda: Backends['cuda'], tried: readonly Tried[]): [string, string][] {
  return [
    ['cuda', cuda.available || cuda.binary ? cuda.reason : 'not here: no CUDA addon loads'],
    ...triedRows('tried', tried),
    [
      'driver',
      cuda.driver
        ? `supports CUDA ${cuda.driver}`
        : cuda.binary
          ? 'none'
          : 'not looked for, without the addon',
    ],
    ...(cuda.devices.length === 0 ? [['devices', 'none'] as [string, string]] : []),
    ...cuda.devices.map((device): [string, string] => [`device ${device.index}`, inWords(device)]),
    ['cublas', cuda.cublas ?? cuda.cublasReason],
    ['nccl', cuda.nccl ?? cuda.ncclReason],
  ];
}

function findingLines({ level, what, fix }: Finding): string {
  const mark = level === 'problem' ? paint('red', 'problem') : paint('yellow', 'note   ');
  return `${mark}  ${what}\n  ${paint('green', 'fix')}    ${fix}`;
}

function verdict(found: readonly Finding[]): string {
  const problems = found.filter(({ level }) => level === 'problem').length;
  const text =
    problems > 0 ? `${plural(problems, 'problem')}: optimizers cannot run here.` : 'Optimizers can run here.';
  return paint(problems > 0 ? ['bold', 'red'] : ['bold', 'green'], text);
}

export function doctor({ json = false }: { readonly json?: boolean }): number {
  const { version } = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  const machine = describeMachine();
  const found = backends();
  const { cpu, cuda } = found;
  const tried = { cpu: tries(candidates(packageRoot)), cuda: tries(cudaCandidates(packageRoot)) };
  const step = cpu.isa === null ? null : tryStep();
  const env = environment();
  const all = findings(found, { cpu: tried.cpu.failures, cuda: tried.cuda.failures }, step, env);
  const broken = all.some(({ level }) => level === 'problem');
  if (json) {
    const { node, ...rest } = machine;
    printJson({
      ok: !broken,
      version,
      node,
      machine: rest,
      environment: env,
      cpu: { ...cpu, tried: tried.cpu.tried, step: cpu.isa === null ? 'not tried' : (step ?? 'right') },
      cuda: { ...cuda, tried: tried.cuda.tried },
      findings: all,
    });
  } else {
    const rows: [string, string][] = [
      ['fused-optim', version],
      ...machineRows(machine),
      ...Object.entries(env).map(([name, value]): [string, string] => ['environment', `${name}=${value}`]),
      ...cpuRows(cpu, tried.cpu.tried, step),
      ...cudaRows(cuda, tried.cuda.tried),
    ];
    for (const [name, value] of rows) print(`${paint('cyan', name.padEnd(12))} ${value}`);
    print('');
    for (const finding of all) print(`${findingLines(finding)}\n`);
    print(verdict(all));
  }
  return broken ? exitCodes.failed : exitCodes.fine;
}
