import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, root, run, runNode, scratchDirectory, writeFiles } from './scratch';
import { packageTree, typeCheck } from './package-tree';

const directory = packageTree();
const bare = scratchDirectory();
const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  bin: Record<string, string>;
};

describe('the built package', () => {
  test('offers import and require the same things', () => {
    writeFiles(directory, {
      'both.mjs': `
        import { createRequire } from 'node:module';
        import * as imported from 'fused-optim';
        const required = createRequire(import.meta.url)('fused-optim');
        const names = Object.keys(required).sort();
        const same = names.every((name) => imported[name] === required[name]);
        console.log(JSON.stringify({ names, same, extra: Object.keys(imported).filter((n) => !names.includes(n)) }));`,
    });
    const { status, output } = runNode(['both.mjs'], directory);
    expect({ status, output }).toMatchObject({ status: 0 });
    const { names, same, extra } = JSON.parse(output) as { names: string[]; same: boolean; extra: string[] };
    expect(names).toEqual(expect.arrayContaining(['AdamW', 'Lion', 'Optimizer', 'SGD', 'backends']));
    expect(same).toBe(true);
    // Node's own names for what is behind a CommonJS module.
    const interop = ['__esModule', 'default', 'module.exports'];
    expect(extra.filter((name) => !interop.includes(name))).toEqual([]);
  });

  test('has types for import and for require', () => {
    const source = `
      import { AdamW, type Parameter } from 'fused-optim';
      const w: Parameter = { data: new Float32Array(4), grad: new Float32Array(4) };
      export const step: number = new AdamW([w], { lr: 1e-3 }).step().step;
      // @ts-expect-error: a misspelled option
      new AdamW([w], { learningRate: step });`;
    const files = ['types.mts', 'types.cts'];
    for (const file of files) writeFiles(directory, { [file]: source });
    expect(typeCheck(directory, [...files, '--noEmit'])).toEqual({ status: 0, output: '' });
  }, 60_000);

  test('has the programs that package.json names, and they can be executed', () => {
    for (const program of Object.values(manifest.bin)) {
      fs.accessSync(path.join(directory, program), fs.constants.X_OK);
    }
  });

  test('holds every file that a build from source needs', () => {
    const { status, output } = run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], root, {
      npm_config_loglevel: 'silent',
    });
    expect(status).toBe(0);
    const packed = (JSON.parse(output) as { files: { path: string }[] }[])[0]!.files.map((file) => file.path);
    const native = fs
      .readdirSync(path.join(root, 'native'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(?:h|cpp|json)$/.test(name));
    const needed = ['binding.gyp', 'scripts/install.js', 'scripts/sources.js', 'LICENSE', 'README.md'];
    expect(packed).toEqual(expect.arrayContaining([...needed, ...native.map((name) => `native/${name}`)]));
    expect(packed.filter((name) => /^(?:test|bench|examples|node_modules|build)\//.test(name))).toEqual([]);
  }, 60_000);
});

test('the TypeScript build does nothing, and says so, without a compiler', () => {
  copyFromRoot(bare, ['scripts/build-ts.js']);
  const { status, output } = runNode(['scripts/build-ts.js'], bare);
  expect(status).toBe(0);
  expect(output).toContain('typescript is not installed');
});
