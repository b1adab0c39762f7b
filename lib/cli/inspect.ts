/** `fused-optim inspect <checkpoint>`: reads the header of a checkpoint, however large the file is. */
import { stat } from 'node:fs/promises';
import { readCheckpointHeader, TensorReference } from '../checkpoint/checkpoint';
import type { TensorInfo } from '../checkpoint/header';
import { align } from '../align';
import { bytesText, paint, plural, print, printJson } from './output';

interface StateTensor extends TensorInfo {
  /** Its name in the file. */
  readonly tensor: string;
  readonly bytes: number;
}

interface Inspected {
  readonly name: string;
  readonly shape: unknown;
  /** Updates this tensor has had. */
  readonly step: unknown;
  readonly bytes: number;
  readonly states: Readonly<Record<string, StateTensor>>;
  /** What is kept as single numbers. */
  readonly scalars: Readonly<Record<string, unknown>>;
}

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function inspectParameter(name: string, entry: unknown): Inspected {
  const { shape, step, ...rest } = isRecord(entry) ? entry : ({} as Fields);
  const states: Record<string, StateTensor> = {};
  const scalars: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(rest)) {
    if (!(value instanceof TensorReference)) {
      scalars[field] = value;
      continue;
    }
    const { name: tensor, dtype, shape, begin, end } = value.tensor;
    states[field] = { tensor, dtype, shape, bytes: end - begin };
  }
  const bytes = Object.values(states).reduce((sum, state) => sum + state.bytes, 0);
  return { name, shape, step, bytes, states, scalars };
}

/** Bytes and tensors of each dtype, largest first. */
function byDtype(tensors: readonly (TensorInfo & { readonly bytes: number })[]) {
  const totals = new Map<string, { tensors: number; bytes: number }>();
  for (const { dtype, bytes } of tensors) {
    const total = totals.get(dtype) ?? { tensors: 0, bytes: 0 };
    totals.set(dtype, { tensors: total.tensors + 1, bytes: total.bytes + bytes });
  }
  return Object.fromEntries([...totals].sort(([, a], [, b]) => b.bytes - a.bytes));
}

const dims = (shape: unknown): string => (Array.isArray(shape) ? `[${shape.join(', ')}]` : 'unknown');

/** A file is anyone's: what would move the cursor of a terminal is shown instead. */
const shown = (text: string): string => text.replace(/\p{Cc}/gu, (c) => JSON.stringify(c).slice(1, -1));

/** Lists of hundreds of entries are left to `--json`. */
const longest = 120;

function optionText([name, value]: [string, unknown]): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return shown(
    `${name} ${text.length > longest ? `${text.slice(0, longest)}… (--json shows all of it)` : text}`,
  );
}

const heading = (text: string): string => paint('bold', text);

function groupLines(groups: readonly Fields[]): string[] {
  return groups.flatMap(({ params, ...options }, index) => [
    `  ${index}: ${plural(Array.isArray(params) ? params.length : 0, 'parameter')}`,
    `     ${Object.entries(options).map(optionText).join(', ')}`,
  ]);
}

function parameterTable(parameters: readonly Inspected[]): string[] {
  const rows = parameters.flatMap(({ name, shape, step, states, scalars }) => {
    const single = Object.entries(scalars).map(([field, value]) => [
      shown(field),
      '',
      '',
      shown(String(value)),
    ]);
    const arrays = Object.entries(states).map(([field, s]) => [
      field,
      s.dtype,
      dims(s.shape),
      bytesText(s.bytes),
    ]);
    const all = [...arrays, ...single];
    const first = [shown(name), dims(shape), String(step)];
    return (all.length > 0 ? all : [['(no state)']]).map((row, i) => [
      ...(i === 0 ? first : ['', '', '']),
      ...row,
    ]);
  });
  return align(
    [['parameter', 'shape', 'steps', 'state', 'dtype', 'stored as', 'size'], ...rows],
    [0, 1, 3, 4, 5],
  );
}

export async function inspect(file: string, { json = false }: { readonly json?: boolean }): Promise<number> {
  const { info, fields } = await readCheckpointHeader(file);
  const { version: _version, algorithm, step, state, paramGroups: _groups, ...others } = fields;
  const parameters = Object.entries(isRecord(state) ? state : {}).map(([name, entry]) =>
    inspectParameter(name, entry),
  );
  const tensors = Object.values(info.tensors);
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const dtypes = byDtype(tensors);
  const fileBytes = (await stat(file)).size;
  if (json) {
    const { library, paramGroups } = info;
    const totals = { parameters: parameters.length, tensors: tensors.length, bytes, fileBytes, dtypes };
    printJson({
      file,
      library,
      algorithm,
      step,
      groups: paramGroups,
      others,
      parameters,
      tensors: info.tensors,
      totals,
    });
    return 0;
  }
  const stored = Object.entries(dtypes).map(
    ([dtype, total]) => `${plural(total.tensors, 'tensor')} of ${dtype} with ${bytesText(total.bytes)}`,
  );
  print(
    `${heading(`${shown(info.algorithm)} after ${plural(info.step, 'step')}`)}, written by fused-optim ${shown(info.library)}`,
  );
  print(
    `${file}: ${bytesText(fileBytes)}, ${plural(parameters.length, 'parameter tensor')}, ` +
      `states of ${bytesText(bytes)} (${stored.join(', ') || 'none'})`,
  );
  print(`\n${heading('Groups')}\n${groupLines(info.paramGroups).join('\n')}`);
  const more = Object.entries(others);
  if (more.length > 0)
    print(`\n${heading('Besides')}\n${more.map((entry) => `  ${optionText(entry)}`).join('\n')}`);
  if (parameters.length > 0) print(`\n${parameterTable(parameters).join('\n')}`);
  return 0;
}
