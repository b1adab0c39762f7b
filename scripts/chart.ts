/**
 * Writes a Vega-Lite chart as an SVG and a PNG file: `await writeChart(spec, 'out/loss')` makes `out/loss.svg`
 * and `out/loss.png`. Everything comes from npm packages, the fonts too, so the picture is the same on a machine
 * that has no fonts or display.
 */
import * as vega from 'vega';
import * as vegaLite from 'vega-lite';
import { formats, writePicture } from '../lib/cli/picture/files';

export type ChartSpec = vegaLite.TopLevelSpec;

const FONTS = 'DejaVu Sans, Verdana, Arial, sans-serif';
const INK = '#262626';
const FAINT = '#e4e4e4';

/** Colours that stay apart in print and for colour-blind readers (Okabe and Ito's palette, without its yellow). */
export const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000'];

/** The look every chart of the project shares; a spec's own `config` wins. */
const THEME: NonNullable<ChartSpec['config']> = {
  font: FONTS,
  background: 'white',
  padding: 16,
  title: {
    fontSize: 15,
    color: INK,
    anchor: 'start',
    offset: 12,
    subtitleColor: '#595959',
    subtitleFontSize: 11,
  },
  axis: {
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    labelColor: INK,
    titleColor: INK,
    gridColor: FAINT,
    domainColor: '#8c8c8c',
    tickColor: '#8c8c8c',
  },
  legend: {
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    labelColor: INK,
    titleColor: INK,
  },
  range: { category: PALETTE },
  view: { stroke: null },
};

/** The chart as the text of an SVG file. */
export async function renderSvg(spec: ChartSpec): Promise<string> {
  const config = vega.mergeConfig(THEME as vega.Config, (spec.config ?? {}) as vega.Config);
  const { spec: compiled } = vegaLite.compile({
    ...spec,
    config: config as NonNullable<ChartSpec['config']>,
  });
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Warn });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Writes `<pathWithoutExtension>.svg` and `.png`; the folder is made when it is missing. */
export async function writeChart(spec: ChartSpec, pathWithoutExtension: string): Promise<void> {
  writePicture(await renderSvg(spec), pathWithoutExtension, formats);
}
