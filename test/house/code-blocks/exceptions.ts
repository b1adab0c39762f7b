/** Blocks that cannot run as they stand, by document and how they begin, with the reason and what holds them instead. */
export interface Exception {
  readonly document: string;
  readonly begins: string;
  readonly why: string;
  /** The file that every line of the block is taken from. */
  readonly excerptOf?: string;
  /** A test that runs the whole of it. */
  readonly heldBy?: string;
  /** The header that has every name of a C library that the block uses. */
  readonly header?: string;
}

export const exceptions: readonly Exception[] = [
  {
    document: 'docs/distributed.md',
    begins: "import { AdamW, mpi, Sharded } from 'fused-optim'",
    why: 'a part of a program that mpirun starts',
    excerptOf: 'examples/distributed/main.ts',
  },
  {
    document: 'docs/distributed-mpi.md',
    begins: "import { mpi } from 'fused-optim'",
    why: 'mpirun starts it',
    heldBy: 'test/distributed/mpi.test.ts',
  },
  {
    document: 'docs/framework-authors.md',
    begins: 'export class Variable',
    why: 'a part of a class',
    excerptOf: 'examples/framework/heap.ts',
  },
  {
    document: 'docs/framework-authors.md',
    begins: 'nextGrad()',
    why: 'a part of a class',
    excerptOf: 'examples/framework/heap.ts',
  },
  {
    document: 'docs/framework-authors.md',
    begins: 'const { nativeApi }',
    why: "loads an addon of the reader's",
    heldBy: 'test/examples/native-addon.test.ts',
  },
  {
    document: 'docs/framework-authors.md',
    begins: 'napi_get_value_external',
    why: 'a part of a C function; examples/native-addon has a whole one',
    header: 'native/include/fused_optim.h',
  },
  {
    document: 'docs/onnxruntime.md',
    begins: "import * as ort from 'onnxruntime-node'",
    why: 'onnxruntime-node is not installed with this package; the demo installs it',
    heldBy: 'test/integrations/onnxruntime.test.ts',
  },
];

export const exceptionOf = (document: string, text: string): Exception | undefined =>
  exceptions.find((each) => each.document === document && text.startsWith(each.begins));
