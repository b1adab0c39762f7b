/** What is wrong with this machine or its settings, each with what to do about it. */
import type { Backends } from '../../backends';
import type { FailedLoad } from '../../native';
import { suggestion } from '../../validate';

export interface Finding {
  /** A problem keeps optimizers from working; a note does not. */
  readonly level: 'problem' | 'note';
  readonly about: 'binary' | 'kernels' | 'threads' | 'step' | 'cuda' | 'cublas' | 'nccl' | 'environment';
  /** What was found, in one sentence. */
  readonly what: string;
  /** What to do, in one sentence. */
  readonly fix: string;
}

/** Variables that the library and its scripts read. */
const variables = ['ISA', 'THREADS', 'CUDA_ADDON', 'CUBLAS', 'NCCL', 'COMMIT'].map(
  (name) => `FUSED_OPTIM_${name}`,
);

const build =
  'Build it with `npm rebuild fused-optim` (in a checkout: `npm run build`), which needs Python 3, make and a C++17 ' +
  'compiler; if npm blocked the install script, allow it first with `npm install-scripts approve fused-optim`.';

function binaryFindings({ binary }: Backends['cpu'], failures: readonly FailedLoad[]): Finding[] {
  const broken = failures.filter(({ reason }) => reason !== 'no such file');
  const list = broken.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
  if (binary === null) {
    const what =
      broken.length > 0
        ? `No native binary loads (${list}).`
        : 'There is no native binary in any of the places tried.';
    return [{ level: 'problem', about: 'binary', what, fix: build }];
  }
  if (broken.length === 0) return [];
  const what = `A binary that comes before the one in use does not load (${list}).`;
  const fix = 'Remove that file, or build it anew for this machine with `npm rebuild fused-optim`.';
  return [{ level: 'note', about: 'binary', what, fix }];
}

function kernelFindings({ binary, isa, isas, reason }: Backends['cpu']): Finding[] {
  if (binary === null) return [];
  const usable = isas.filter(({ missing }) => missing.length === 0).map(({ name }) => name);
  if (isa !== null) {
    const widest = usable.at(-1)!;
    if (isa === widest) return [];
    const what = `FUSED_OPTIM_ISA chooses ${isa}, and this machine runs ${widest}, which is faster.`;
    return [{ level: 'note', about: 'kernels', what, fix: 'Unset FUSED_OPTIM_ISA.' }];
  }
  const threads = reason.includes('FUSED_OPTIM_THREADS');
  return [
    {
      level: 'problem',
      about: threads ? 'threads' : 'kernels',
      what: reason,
      fix: threads
        ? 'Unset FUSED_OPTIM_THREADS, or set it to a number of threads.'
        : `Unset FUSED_OPTIM_ISA, or set it to one of ${usable.join(', ')}.`,
    },
  ];
}

/** Fixes of what the addon says of driver and devices, by words of the reason. */
const cudaFixes: readonly [RegExp, string][] = [
  [
    /^no CUDA addon/,
    'Nothing, unless GPUs are to be used: then build the addon in a checkout with `npm run build:cuda` (it needs the ' +
      'CUDA toolkit, for nvcc, and CMake), or name one in FUSED_OPTIM_CUDA_ADDON.',
  ],
  [
    /^no NVIDIA driver/,
    "Install NVIDIA's driver; in a container, start it with `--gpus all` and NVIDIA's container toolkit.",
  ],
  [/older than CUDA/, "Update NVIDIA's driver, or build the addon with an older CUDA toolkit."],
  [
    /CUDA_VISIBLE_DEVICES/,
    'Unset CUDA_VISIBLE_DEVICES, or set it to the index of a GPU that `nvidia-smi -L` lists.',
  ],
  [
    /capability 8\.0/,
    'Use a GPU of compute capability 8.0 or later (A100, RTX 30 or newer); optimizers run on the CPU here.',
  ],
  [
    /lists no GPU/,
    'Check with `nvidia-smi -L` that the driver sees a GPU; in a container, start it with `--gpus all`.',
  ],
];

const installNccl =
  'Install NCCL (Debian and Ubuntu: libnccl2; Python: nvidia-nccl-cu13 or -cu12), or name its file in FUSED_OPTIM_NCCL; ' +
  'only nccl() needs it.';

function cudaFindings(cuda: Backends['cuda'], failures: readonly FailedLoad[]): Finding[] {
  if (cuda.available) {
    const found: Finding[] = [];
    const note = (about: 'cublas' | 'nccl', what: string, fix: string): unknown =>
      found.push({ level: 'note', about, what, fix });
    if (cuda.cublas === null)
      note(
        'cublas',
        `Muon cannot run on GPUs: ${cuda.cublasReason}.`,
        'Install cuBLAS 12 or 13 (it comes with the CUDA toolkit), or name its file in FUSED_OPTIM_CUBLAS; only Muon needs it.',
      );
    if (cuda.nccl === null && cuda.devices.length > 1)
      note('nccl', `Processes on these GPUs cannot train together: ${cuda.ncclReason}.`, installNccl);
    return found;
  }
  const tried = failures.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
  const reason = cuda.binary === null ? `no CUDA addon that loads was found (${tried})` : cuda.reason;
  const fix =
    cudaFixes.find(([words]) => words.test(reason))?.[1] ??
    'Check the driver with `nvidia-smi`, and restart the machine if it was updated since.';
  return [{ level: 'note', about: 'cuda', what: `GPUs cannot be used: ${reason}.`, fix }];
}

function environmentFindings(environment: Readonly<Record<string, string>>): Finding[] {
  return Object.keys(environment)
    .filter((name) => !variables.includes(name))
    .map((name) => {
      const meant = suggestion(name, variables);
      const fix = meant ? `Did you mean ${meant}?` : `Unset it; the variables are ${variables.join(', ')}.`;
      return { level: 'note', about: 'environment', what: `Nothing reads the variable ${name}.`, fix };
    });
}

/** The variables of this package that are set. */
export function environment(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const set = Object.entries(env).filter(([name]) => name.startsWith('FUSED_OPTIM_'));
  return Object.fromEntries(set.sort(([a], [b]) => (a < b ? -1 : 1))) as Record<string, string>;
}

export function findings(
  { cpu, cuda }: Backends,
  tried: { readonly cpu: readonly FailedLoad[]; readonly cuda: readonly FailedLoad[] },
  step: string | null,
  env: Readonly<Record<string, string>>,
): Finding[] {
  const failed: Finding[] =
    step === null
      ? []
      : [
          {
            level: 'problem',
            about: 'step',
            what: `A step of AdamW on two numbers failed: ${step}`,
            fix: 'Build the binary anew for this machine with `npm rebuild fused-optim`, and report this as a bug if that does not help.',
          },
        ];
  return [
    ...binaryFindings(cpu, tried.cpu),
    ...kernelFindings(cpu),
    ...failed,
    ...cudaFindings(cuda, tried.cuda),
    ...environmentFindings(env),
  ];
}
