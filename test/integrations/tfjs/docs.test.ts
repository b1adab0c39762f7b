import fs from 'node:fs';
import path from 'node:path';
import { packageTree } from '../../house/package-tree';
import { root, runNode, writeFiles } from '../../house/scratch';

const directory = packageTree();
const text = fs.readFileSync(path.join(root, 'docs', 'tfjs.md'), 'utf8');
const blocks = [...text.matchAll(/```js\n([\s\S]*?)```/g)].map(([, block]) => block!);

/** tfjs recommends another backend when its CPU backend is first used in Node. */
const withoutAdvice = (output: string): string =>
  output.replace(/\n*=+\nHi, looks like you are running TensorFlow\.js in Node\.js\.[^\n]*\n=+\n*/, '');

test.each(blocks.map((block, i) => [i + 1, block] as const))(
  'example %i of docs/tfjs.md runs as it stands and prints what it says',
  (i, block) => {
    writeFiles(directory, { [`example${i}.mjs`]: block });
    const expected = [...block.matchAll(/console\.log\(.*\);(?: \/\/ (.*))?\n((?:\/\/ .*\n)*)/g)].map(
      ([, line, lines]) => line ?? lines!.replace(/^\/\/ /gm, '').trimEnd(),
    );
    expect(expected.join('')).not.toBe('');
    const { status, output } = runNode([`example${i}.mjs`], directory);
    expect({ status, output: withoutAdvice(output).trimEnd() }).toEqual({
      status: 0,
      output: expected.join('\n'),
    });
  },
  60_000,
);
