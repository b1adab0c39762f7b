/** Loss curves as pictures: of one run, and of runs that are compared. */
import { PALETTE, writeChart, type ChartSpec } from '../../scripts/chart';
import type { Checkpoint } from './checkpoint';
import type { Point } from './trainee';

const POINTS = 300;

/** Neighbouring values averaged until no more than `POINTS` are left; each at the last step it covers. */
export function thin(losses: readonly number[], points = POINTS): { step: number; loss: number }[] {
  const width = Math.max(1, Math.ceil(losses.length / points));
  const result: { step: number; loss: number }[] = [];
  for (let start = 0; start < losses.length; start += width) {
    const part = losses.slice(start, start + width);
    result.push({ step: start + part.length, loss: part.reduce((sum, loss) => sum + loss, 0) / part.length });
  }
  return result;
}

type Curves = Pick<Checkpoint, 'optimizer' | 'trainLoss' | 'validation'>;

export function lossChart({ optimizer, trainLoss, validation }: Curves, unigramEntropy: number): ChartSpec {
  const names = ['training', 'validation', 'unigram entropy'];
  const colors = [PALETTE[4], PALETTE[1], '#595959'];
  const steps = trainLoss.length;
  const series = (name: string, values: { step: number; loss: number }[]) =>
    values.map((value) => ({ ...value, series: name }));
  const last = validation.at(-1)?.loss ?? NaN;
  return {
    title: {
      text: `A small GPT trained with ${optimizer}`,
      subtitle: `validation loss ${last.toFixed(3)} after ${steps} steps; guessing by letter frequency ${unigramEntropy.toFixed(3)}`,
    },
    width: 640,
    height: 340,
    encoding: {
      x: { field: 'step', type: 'quantitative', title: 'step', scale: { domain: [0, steps], nice: false } },
      y: { field: 'loss', type: 'quantitative', title: 'loss, nats per character', scale: { zero: true } },
      color: {
        field: 'series',
        type: 'nominal',
        scale: { domain: names, range: colors },
        legend: { title: null, orient: 'top-right', symbolType: 'stroke', symbolStrokeWidth: 3 },
      },
    },
    layer: [
      {
        data: { values: series('training', thin(trainLoss)) },
        mark: { type: 'line', strokeWidth: 1.2 },
      },
      {
        data: { values: series('validation', validation) },
        mark: { type: 'line', strokeWidth: 2, point: { size: 28, filled: true } },
      },
      {
        data: {
          values: series(
            'unigram entropy',
            [0, steps].map((step) => ({ step, loss: unigramEntropy })),
          ),
        },
        mark: { type: 'line', strokeWidth: 1.5, strokeDash: [6, 4] },
      },
    ],
  } as ChartSpec;
}

/** Writes `<path>.svg` and `<path>.png`. */
export async function writeLossChart(
  curves: Curves,
  unigramEntropy: number,
  pathWithoutExtension: string,
): Promise<void> {
  await writeChart(lossChart(curves, unigramEntropy), pathWithoutExtension);
}

type Contestant = { readonly name: string; readonly curve: readonly Point[] };

/** Validation loss over steps on the left, over seconds on the right, and the loss that both are timed to. */
export function comparisonChart(contestants: readonly Contestant[], targetLoss: number): ChartSpec {
  const names = contestants.map(({ name }) => name);
  const values = contestants.flatMap(({ name, curve }) => curve.map((point) => ({ ...point, series: name })));
  const last = (key: 'seconds' | 'step'): number => Math.max(...values.map((value) => value[key]));
  // The first steep part would leave the rest little room.
  const early = values.filter(({ step }) => step >= last('step') / 20).map(({ loss }) => loss);
  const y = {
    field: 'loss',
    type: 'quantitative',
    title: 'validation loss, nats per character',
    scale: { zero: false, domain: [Math.min(...early), Math.max(...early)] },
  };
  const color = {
    field: 'series',
    type: 'nominal',
    scale: { domain: names, range: PALETTE.slice(0, names.length) },
    legend: { title: null, orient: 'top', symbolType: 'stroke', symbolStrokeWidth: 3 },
  };
  const panel = (field: 'seconds' | 'step', title: string): object => ({
    width: 340,
    height: 300,
    layer: [
      {
        data: { values },
        mark: { type: 'line', strokeWidth: 2, clip: true },
        encoding: {
          x: { field, type: 'quantitative', title, scale: { domain: [0, last(field)], nice: false } },
          y,
          color,
        },
      },
      {
        data: { values: [{ loss: targetLoss }] },
        mark: { type: 'rule', strokeDash: [6, 4], color: '#595959' },
        encoding: { y: { field: 'loss', type: 'quantitative' } },
      },
    ],
  });
  return {
    title: {
      text: `A small GPT trained with ${names.join(' and with ')}`,
      subtitle: `same first weights, same batches; the dashed line is the loss that both are timed to, ${targetLoss.toFixed(3)}`,
    },
    hconcat: [panel('step', 'step'), panel('seconds', 'seconds of training')],
  } as ChartSpec;
}

/** Writes `<path>.svg` and `<path>.png`. */
export async function drawComparison(
  contestants: readonly Contestant[],
  targetLoss: number,
  pathWithoutExtension: string,
): Promise<void> {
  await writeChart(comparisonChart(contestants, targetLoss), pathWithoutExtension);
}
