/** `fused-optim landscape`: optimizers on test functions, drawn. */
import path from 'node:path';
import { align } from '../../align';
import { exitCodes, note, paint, plural, print, printJson } from '../output';
import { formats, noPng, writePicture, type PictureFormat } from '../picture/files';
import { breathe, progress } from '../progress';
import { optimizers } from '../optimizers';
import { descend, descendTuned, type Descent, type Settings } from './descent';
import { landscapes, type Landscape, type Point } from './functions';
import { functionPicture, gridPicture, type Result } from './pictures';

export interface LandscapeOptions {
  readonly functions?: readonly string[];
  readonly optimizers?: readonly string[];
  readonly steps: number;
  readonly seed: number;
  readonly lr?: number;
  readonly format?: readonly PictureFormat[];
  readonly out: string;
  readonly json?: boolean;
}

async function run(options: LandscapeOptions): Promise<Result[]> {
  const functions = (options.functions ?? [...landscapes.keys()]).map((name) => landscapes.get(name)!);
  const names = options.optimizers ?? [...optimizers.keys()];
  const settings: Settings = options;
  const bar = progress(functions.length * names.length);
  const results: Result[] = [];
  try {
    for (const landscape of functions) {
      const descents: Descent[] = [];
      for (const name of names) {
        bar.show(`${landscape.title}, ${name}`);
        await breathe();
        descents.push(
          options.lr === undefined
            ? descendTuned(landscape, name, settings)
            : descend(landscape, name, options.lr, settings),
        );
        bar.advance();
      }
      results.push({ landscape, descents, tuned: options.lr === undefined });
    }
  } finally {
    bar.stop();
  }
  return results;
}

/** How far from the nearest minimum. */
function distance({ minima }: Landscape, [x, y]: Point): number {
  return Math.min(...minima.map(([mx, my]) => Math.hypot(x - mx, y - my)));
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

function asJson({ landscape, descents }: Result): object {
  const { name, formula, start, minima } = landscape;
  const results = descents.map(({ optimizer, lr, path: points, score }) => {
    const end = points.at(-1)!;
    return {
      optimizer,
      lr,
      steps: points.length - 1,
      end,
      value: finite(landscape.value(...end)),
      meanValue: finite(score),
      distance: distance(landscape, end),
    };
  });
  return { function: name, formula, start, minima, results };
}

function table({ landscape, descents }: Result): string {
  const rows = [...descents]
    .sort((a, b) => a.score - b.score)
    .map(({ optimizer, lr, path: points, score }) => {
      const off = distance(landscape, points.at(-1)!);
      return [`  ${optimizer}`, String(lr), score.toExponential(1), off.toExponential(1)];
    });
  const lines = align([['  optimizer', 'lr', 'f at the end', 'from the minimum'], ...rows]);
  return `${paint('bold', landscape.title)}\n${lines.join('\n')}\n`;
}

export async function landscape(options: LandscapeOptions): Promise<number> {
  const results = await run(options);
  const wanted = options.format ?? formats;
  const files: string[] = [];
  const write = (svg: string, name: string): void => {
    files.push(...writePicture(svg, path.join(options.out, name), wanted));
  };
  for (const result of results) write(await functionPicture(result, options), result.landscape.name);
  write(await gridPicture(results, options), 'grid');
  const missing = wanted.includes('png') && !files.some((file) => file.endsWith('.png'));
  if (options.json) {
    const { steps, seed, lr } = options;
    printJson({ steps, seed, lr: lr ?? 'tuned', functions: results.map(asJson), files });
  } else {
    for (const result of results) print(table(result));
    print(
      `${plural(files.length, 'picture')} in ${options.out}: ${files.map((file) => path.basename(file)).join(', ')}`,
    );
  }
  if (missing) note(noPng);
  return missing && options.format ? exitCodes.failed : exitCodes.fine;
}
