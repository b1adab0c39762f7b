/** Pictures as files. PNG needs packages that are not installed with this one: they are binaries of megabytes. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type * as resvg from '@resvg/resvg-js';

const load = createRequire(__filename);
const FONT = 'DejaVu Sans';

function optional<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Fonts of npm's, so that a picture is the same on every machine; else those of the system. */
function font(): resvg.ResvgRenderOptions['font'] & object {
  const manifest = optional(() => load.resolve('dejavu-fonts-ttf/package.json'));
  const names = { defaultFontFamily: FONT, sansSerifFamily: FONT };
  if (manifest === undefined) return { loadSystemFonts: true, ...names };
  const files = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf', 'DejaVuSansMono.ttf'];
  const fontFiles = files.map((file) => path.join(path.dirname(manifest), 'ttf', file));
  return { fontFiles, loadSystemFonts: false, ...names };
}

/** An SVG text as the bytes of a PNG file, `scale` pixels to one unit; undefined where no renderer is installed. */
export function renderPng(svg: string, scale = 2): Buffer | undefined {
  const renderer = optional(() => load('@resvg/resvg-js') as typeof resvg);
  if (!renderer) return undefined;
  const fitTo = { mode: 'zoom', value: scale } as const;
  return new renderer.Resvg(svg, { background: 'white', fitTo, font: font() }).render().asPng();
}

export const formats = ['svg', 'png'] as const;
export type PictureFormat = (typeof formats)[number];

export const noPng =
  'PNG files need a renderer, which is not installed: `npm install @resvg/resvg-js dejavu-fonts-ttf` installs it.';

/** Writes `<stem>.svg` and `<stem>.png`, as far as asked for and possible; returns their paths. */
export function writePicture(svg: string, stem: string, wanted: readonly PictureFormat[]): string[] {
  mkdirSync(path.dirname(path.resolve(stem)), { recursive: true });
  const written: string[] = [];
  for (const format of wanted) {
    const content = format === 'svg' ? svg : renderPng(svg);
    if (content === undefined) continue;
    writeFileSync(`${stem}.${format}`, content);
    written.push(`${stem}.${format}`);
  }
  return written;
}
