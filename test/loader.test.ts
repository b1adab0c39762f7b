import fs from 'node:fs';
import path from 'node:path';
import { backends } from 'fused-optim';
import { candidates, load, native } from '../lib/native';
import { noCuda } from './helpers/cuda';
import { withEnv, widestIsa } from './helpers/isas';
import { packageTree } from './house/package-tree';
import { root, runNode, scratchDirectory, writeFiles } from './house/scratch';

const platform = `${process.platform}-${process.arch}`;
const binary = candidates(root).find((file) => fs.existsSync(file))!;

describe('the loader', () => {
  const scratch = scratchDirectory();

  test('looks for a binary that came with the package first, then for those of a checkout', () => {
    const relative = candidates(scratch).map((file) =>
      path.relative(scratch, file).split(path.sep).join('/'),
    );
    expect(relative).toEqual([
      `prebuilds/${platform}/fused_optim.node`,
      'build/Release/fused_optim.node',
      'build-cmake/Release/fused_optim.node',
    ]);
  });

  test('takes the first that loads', () => {
    writeFiles(scratch, { 'broken.node': 'not a binary' });
    const broken = path.join(scratch, 'broken.node');
    const loaded = load([path.join(scratch, 'absent.node'), broken, binary, broken]);
    expect(loaded.path).toBe(binary);
    expect(Object.keys(loaded.addon.rules)).toContain('adamw');
  });

  test('says what it tried, why each failed, and what to do', () => {
    const files = ['absent.node', 'broken.node', 'directory/other.node'].map((name) =>
      path.join(scratch, name),
    );
    writeFiles(scratch, { 'broken.node': 'not a binary', 'directory/other.node': '' });
    expect(() => load(files)).toThrow(
      `fused-optim found no native binary for ${platform} that loads. Tried:\n`,
    );
    let message = '';
    try {
      load(files);
    } catch (error) {
      ({ message } = error as Error);
    }
    const lines = message.split('\n').filter((line) => line.startsWith('  '));
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe(`  ${files[0]}: no such file`);
    for (const i of [1, 2]) {
      expect(lines[i]).toMatch(new RegExp(`^  ${files[i]}: .*\\w`));
      expect(lines[i]).not.toMatch(/no such file$/);
    }
    expect(message.split('\n').at(-1)).toMatch(/npm rebuild fused-optim.*npm run build/);
  });

  test('loads once', () => {
    expect(native()).toBe(native());
  });
});

describe('backends()', () => {
  test('says what is used, and why', () => {
    withEnv({ FUSED_OPTIM_ISA: undefined, FUSED_OPTIM_THREADS: undefined }, () => {
      const { cpu, cuda } = backends();
      expect(cpu).toMatchObject({ isa: widestIsa, binary });
      expect(cpu.reason).toMatch(/^the widest this machine runs/);
      expect(cpu.threads).toBe(native().addon.cores().usable);
      expect(cpu.threads).toBeGreaterThanOrEqual(1);
      expect(cpu.threadsReason).toMatch(/^\d+ cores? for this process/);
      const reason = expect.stringMatching(noCuda ? /CUDA|NVIDIA/ : /^\d+ devices?, driver /) as unknown;
      expect(cuda).toMatchObject({ available: !noCuda, reason });
    });
  });

  test('reads the environment anew', () => {
    withEnv({ FUSED_OPTIM_ISA: 'scalar', FUSED_OPTIM_THREADS: '3' }, () => {
      const { cpu } = backends();
      expect(cpu).toMatchObject({ isa: 'scalar', reason: 'FUSED_OPTIM_ISA=scalar' });
      expect(cpu).toMatchObject({ threads: 3, threadsReason: 'FUSED_OPTIM_THREADS=3' });
    });
  });

  test('reports what is wrong with the environment and does not throw', () => {
    withEnv({ FUSED_OPTIM_ISA: 'mmx' }, () => {
      expect(backends().cpu).toMatchObject({
        isa: null,
        reason: expect.stringMatching(/received "mmx"/) as unknown,
      });
    });
    withEnv({ FUSED_OPTIM_THREADS: 'many' }, () => {
      const reason = expect.stringMatching(/FUSED_OPTIM_THREADS .* received "many"/) as unknown;
      expect(backends().cpu).toMatchObject({ isa: null, reason });
    });
  });
});

describe('a package without a binary', () => {
  const directory = packageTree();
  const bare = scratchDirectory();
  beforeAll(() => {
    fs.cpSync(path.join(directory, 'dist'), path.join(bare, 'dist'), { recursive: true });
    fs.copyFileSync(path.join(directory, 'package.json'), path.join(bare, 'package.json'));
    fs.symlinkSync(path.join(root, 'node_modules'), path.join(bare, 'node_modules'), 'dir');
  });

  test('can be imported, and says at the first use what is missing', () => {
    writeFiles(bare, {
      'use.mjs': `
          import { AdamW, backends } from 'fused-optim';
          console.log(JSON.stringify(backends().cpu));
          try {
            new AdamW([{ data: new Float32Array(1) }]);
          } catch (error) {
            console.log(JSON.stringify(error.message));
          }`,
    });
    const { status, output } = runNode(['use.mjs'], bare);
    expect({ status, output }).toMatchObject({ status: 0 });
    const [cpu, message] = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(cpu).toMatchObject({ isa: null, reason: message, binary: null, threads: 0 });
    for (const file of candidates(bare)) expect(message).toContain(`  ${file}: no such file`);
  });
});
