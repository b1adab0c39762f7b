/** SVG as text: elements, and what the pictures of the command line have in common. */

export const INK = '#262626';
export const FAINT = '#595959';
const FONTS = 'DejaVu Sans, Verdana, Arial, sans-serif';

type Attributes = Readonly<Record<string, string | number | undefined>>;

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

/** Enough for a screen, and no more bytes than that takes. */
const rounded = (value: number): number => Math.round(value * 100) / 100;

export function element(name: string, attributes: Attributes, content = ''): string {
  const all = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? rounded(value) : escaped(String(value))}"`)
    .join('');
  return content === '' ? `<${name}${all}/>` : `<${name}${all}>${content}</${name}>`;
}

export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, 'font-size': 11, fill: INK, ...attributes }, escaped(content));
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes = {}): string {
  return element('line', { x1, y1, x2, y2, stroke: INK, ...attributes });
}

/** A whole picture, on white. */
export function document(width: number, height: number, title: string, body: readonly string[]): string {
  const size = { width: Math.ceil(width), height: Math.ceil(height) };
  return `${element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      ...size,
      viewBox: `0 0 ${size.width} ${size.height}`,
      'font-family': FONTS,
    },
    [element('title', {}, escaped(title)), element('rect', { ...size, fill: 'white' }), ...body].join('\n'),
  )}\n`;
}

type Point = readonly [x: number, y: number];

/** How many units of a path make a pixel: paths are whole numbers, each relative to the one before, which is short. */
const UNITS = 10;

/** The transform under which {@link pathData} has the size of pixels. */
export const PATH_SCALE = `scale(${1 / UNITS})`;

/** Path data through points in pixels; points that fall on the one before are left out. */
export function pathData(points: readonly Point[], closed = false): string {
  let data = '';
  let [atX, atY] = [NaN, NaN];
  for (const [px, py] of points) {
    const [x, y] = [Math.round(px * UNITS), Math.round(py * UNITS)];
    if (x === atX && y === atY) continue;
    const [dx, dy] = [x - atX, y - atY];
    data +=
      data === ''
        ? `M${x} ${y}l`
        : `${dx < 0 || data.endsWith('l') ? '' : ' '}${dx}${dy < 0 ? '' : ' '}${dy}`;
    [atX, atY] = [x, y];
  }
  // A path of one point would be no path, and its end is what shows where an optimizer did not move.
  return (data.endsWith('l') ? `${data}0 0` : data) + (closed ? 'z' : '');
}
