import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Adam, readCheckpointInfo, readSafetensors, writeSafetensors } from 'fused-optim';
import { rejection } from '../helpers/files';
import { random, values } from '../helpers/random';
import { packageTree } from '../house/package-tree';
import { scratchDirectory } from '../house/scratch';

const directory = scratchDirectory();
const inside = (name: string): string => path.join(directory, name);
const temporaries = (folder = directory): string[] =>
  fs.readdirSync(folder).filter((name) => name.endsWith('.tmp'));

interface Tensor {
  readonly name: string;
  data: Float32Array;
  grad: Float32Array;
}

const make = (length = 100): { optimizer: Adam; params: Tensor[] } => {
  const params = ['a', 'b'].map((name, i) => ({
    name,
    data: values(length, i),
    grad: values(length, 9 + i),
  }));
  const optimizer = new Adam(params);
  optimizer.step();
  return { optimizer, params };
};

afterEach(() => {
  jest.restoreAllMocks();
});

describe('save()', () => {
  test('saves the state of the moment of the call', async () => {
    const { optimizer } = make(100_000);
    const expected = optimizer.stateDict();
    const saving = optimizer.save(inside('snapshot'));
    optimizer.paramGroups[0]!.lr = 7;
    for (let i = 0; i < 3; ++i) optimizer.step();
    const stepping = optimizer.stepAsync();
    await Promise.all([saving, stepping]);
    await optimizer.load(inside('snapshot'));
    expect(optimizer.stateDict()).toEqual(expected);
  });

  test('may be followed by dispose()', async () => {
    const { optimizer } = make();
    const saving = optimizer.save(inside('disposed'));
    optimizer.dispose();
    await saving;
    expect((await readCheckpointInfo(inside('disposed'))).step).toBe(1);
  });

  test('of one file, called without waiting: the last call wins', async () => {
    const { optimizer, params } = make(50_000);
    // The first is much larger and would end last.
    const data = new Float32Array(8 << 20);
    const saves = [writeSafetensors(inside('turns'), { w: { shape: [data.length], data } })];
    for (let i = 0; i < 4; ++i) {
      optimizer.step();
      saves.push(optimizer.save(inside('turns')));
    }
    await Promise.all(saves);
    expect((await readCheckpointInfo(inside('turns'))).step).toBe(5);
    const other = new Adam(params.map(({ name, data }) => ({ name, data: data.slice() })));
    await other.load(inside('turns'));
    expect(temporaries()).toEqual([]);
  });

  test('goes on after a save of the same file that failed', async () => {
    const { optimizer } = make();
    jest
      .spyOn(fsPromises, 'rename')
      .mockRejectedValueOnce(Object.assign(new Error('x'), { code: 'EIO', syscall: 'rename' }));
    const failing = optimizer.save(inside('again'));
    const next = optimizer.save(inside('again'));
    expect(await rejection(failing)).toBe(`Could not write "${inside('again')}": x (EIO).`);
    await next;
    expect((await readCheckpointInfo(inside('again'))).step).toBe(1);
  });

  test.each([
    ['ENOSPC', 'the disk is full'],
    ['EACCES', 'permission was denied'],
    ['EROFS', 'the file system is read-only'],
    ['EIO', 'i/o error'],
  ])('that ends with %s leaves the old file and no other', async (code, words) => {
    const { optimizer } = make();
    const file = inside(code);
    await optimizer.save(file);
    const before = fs.readFileSync(file);
    optimizer.step();
    const { open } = fsPromises;
    jest.spyOn(fsPromises, 'open').mockImplementation(async (...args) => {
      const handle = await open(...args);
      jest
        .spyOn(handle, 'sync')
        .mockRejectedValue(Object.assign(new Error('i/o error'), { code, syscall: 'fsync' }));
      return handle;
    });
    expect(await rejection(optimizer.save(file))).toBe(`Could not write "${file}": ${words} (${code}).`);
    expect(fs.readFileSync(file)).toEqual(before);
    expect(temporaries()).toEqual([]);
  });

  const isRoot = process.getuid?.() === 0;
  if (isRoot) console.warn('Skipped: a folder without permission to write (root may write anywhere)');
  (isRoot || process.platform === 'win32' ? test.skip : test)(
    'says when a folder may not be written',
    async () => {
      const folder = inside('locked');
      fs.mkdirSync(folder, { mode: 0o500 });
      const file = path.join(folder, 'file');
      expect(await rejection(make().optimizer.save(file))).toBe(
        `Could not write "${file}": permission was denied (EACCES).`,
      );
    },
  );

  const posix = process.platform === 'win32' ? test.skip : test;
  posix('keeps a link a link, and the permissions of the file', async () => {
    const { optimizer } = make();
    await optimizer.save(inside('real'));
    fs.chmodSync(inside('real'), 0o600);
    fs.symlinkSync('real', inside('link'));
    optimizer.step();
    await optimizer.save(inside('link'));
    expect(fs.readlinkSync(inside('link'))).toBe('real');
    expect((await readCheckpointInfo(inside('real'))).step).toBe(2);
    expect(fs.statSync(inside('real')).mode & 0o777).toBe(0o600);
  });

  test('leaves the event loop to others while it writes', async () => {
    const data = new Float32Array(50 << 18); // 50 MB
    let [last, longest, turns] = [performance.now(), 0, 0];
    const timer = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      ++turns;
    }, 1);
    await writeSafetensors(inside('large'), { w: { shape: [data.length], data } });
    const { tensors } = await readSafetensors(inside('large'));
    clearInterval(timer);
    expect(tensors.get('w')!.data).toHaveLength(data.length);
    // 50 MB take some 30 ms even from cache; a chunk takes a few. Half a second is for a machine that others share.
    expect(turns).toBeGreaterThan(5);
    expect(longest).toBeLessThan(500);
    fs.rmSync(inside('large'));
  });
});

describe('a file that shrinks while it is read', () => {
  test('is refused', async () => {
    const { optimizer } = make();
    await optimizer.save(inside('shrinking'));
    const { open } = fsPromises;
    jest.spyOn(fsPromises, 'open').mockImplementation(async (...args) => {
      const handle = await open(...args);
      const { size } = await handle.stat();
      const claimed = { size };
      fs.truncateSync(inside('shrinking'), size - 4);
      jest.spyOn(handle, 'stat').mockResolvedValue(claimed as never);
      return handle;
    });
    expect(await rejection(optimizer.load(inside('shrinking')))).toContain(
      'became shorter while it was read',
    );
  });
});

describe('what a killed process left', () => {
  test('is removed by the next save, and nothing else is', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-stale-'));
    const { optimizer } = make();
    let temporary = '';
    jest.spyOn(fsPromises, 'rename').mockImplementationOnce((from) => {
      temporary = path.basename(String(from));
      return Promise.reject(new Error('stop'));
    });
    expect(await rejection(optimizer.save(path.join(folder, 'f')))).toBe('stop');
    expect(temporary).toMatch(/^\.fused-optim-[0-9a-f]{8}-\d+-[0-9a-f]{12}\.tmp$/);
    expect(fs.readdirSync(folder)).toEqual([]);
    const ofPid = (pid: number): string => temporary.replace(`-${process.pid}-`, `-${pid}-`);
    const dead = ofPid(2 ** 22 + 1); // above Linux's largest process id
    const others = [
      ofPid(process.pid),
      ofPid(process.ppid),
      '.fused-optim-00000000-4194305-0123456789ab.tmp',
      'x.tmp',
      `${dead}2`,
    ];
    for (const name of [dead, ...others]) fs.writeFileSync(path.join(folder, name), '');
    await optimizer.save(path.join(folder, 'f'));
    expect(fs.readdirSync(folder).sort()).toEqual([...others, 'f'].sort());
    fs.rmSync(folder, { recursive: true });
  });
});

describe('a process that is killed while it saves', () => {
  const tree = packageTree();
  fs.copyFileSync(path.join(__dirname, '..', 'helpers', 'children', 'save.js'), path.join(tree, 'save.js'));

  test('leaves a whole file, every time', async () => {
    const folder = inside('killed');
    fs.mkdirSync(folder);
    const file = path.join(folder, 'f');
    const next = random(42);
    const steps = new Set<number>();
    let left = 0;
    for (let round = 0; round < 20; ++round) {
      const child = spawn(process.execPath, ['save.js', file], {
        cwd: tree,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data'); // the first save is done: from here on there is always a file
      await new Promise((resolve) => setTimeout(resolve, 60 * next()));
      child.kill('SIGKILL');
      await once(child, 'exit');
      left += temporaries(folder).length;
      const { tensors, metadata } = await readSafetensors(file);
      const step = Number(metadata.step);
      steps.add(step);
      // With these betas the state is the last gradient, which is the step.
      for (const name of ['a', 'b']) {
        const state = JSON.parse(metadata.state!) as Record<string, { step: number }>;
        expect(state[name]!.step).toBe(step);
        expect((tensors.get(`${name}.exp_avg`)!.data as Float32Array).every((v) => v === step)).toBe(true);
        expect(
          (tensors.get(`${name}.exp_avg_sq`)!.data as Float32Array).every((v) => v === step * step),
        ).toBe(true);
      }
    }
    expect(steps.size).toBeGreaterThan(1);
    expect(left).toBeGreaterThan(0); // some were killed in the middle of a save
    await make().optimizer.save(file);
    expect(fs.readdirSync(folder)).toEqual(['f']);
  }, 60_000);
});
