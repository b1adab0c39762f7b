import fs from 'node:fs';
import path from 'node:path';
import { cuda } from 'fused-optim';
import { describeCuda, describeStandIn } from '../helpers/cuda';
import { packageTree } from '../house/package-tree';
import { root, runNode } from '../house/scratch';

const directory = packageTree();
const children = path.join(__dirname, '..', 'helpers', 'children');
const addon = path.resolve(
  root,
  process.env.FUSED_OPTIM_CUDA_ADDON ?? 'build-cuda/Release/fused_optim_cuda.node',
);

function child(file: string, env: NodeJS.ProcessEnv = {}) {
  fs.copyFileSync(path.join(children, file), path.join(directory, file));
  return runNode(['--expose-gc', file], directory, { FUSED_OPTIM_CUDA_ADDON: addon, ...env });
}

describeStandIn('the garbage collector', () => {
  test('frees memory, streams and capsules that were forgotten, and an owner with its tensor', () => {
    expect(child('cuda-collect.js')).toEqual({
      status: 0,
      output: '0 0 false\nowner there false\nowner gone\n',
    });
  }, 60_000);
});

describeCuda('worker threads', () => {
  test('use one device at the same time, share pointers, and may be terminated', () => {
    expect(cuda.isAvailable()).toBe(true);
    expect(child('cuda-workers.js')).toEqual({ status: 0, output: '20 20\ntrue\n' });
  }, 120_000);
});

describe('without CUDA', () => {
  const use = `
    const { backends, cuda } = require('fused-optim');
    console.log(JSON.stringify([cuda.isAvailable(), cuda.reason, cuda.devices(), backends().cuda]));
    for (const call of [() => cuda.tensor([2]), () => cuda.stream(), () => cuda.synchronize(), () => cuda.fromPointer(8n, { shape: [1] })])
      try { call(); } catch (error) { console.log(JSON.stringify(error.message)); }`;
  const program = (env: NodeJS.ProcessEnv): unknown[] => {
    fs.writeFileSync(path.join(directory, 'use.js'), use);
    const { status, output } = runNode(['use.js'], directory, env);
    expect({ status, output }).toMatchObject({ status: 0 });
    return output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
  };

  test('says what was tried where there is no addon', () => {
    const [facts, ...messages] = program({ FUSED_OPTIM_CUDA_ADDON: '' });
    const [available, reason, devices, backend] = facts as [boolean, string, unknown[], object];
    expect([available, devices]).toEqual([false, []]);
    expect(reason).toMatch(/^no CUDA addon that loads was found for /);
    for (const place of [
      path.join(directory, 'build-cuda', 'Release', 'fused_optim_cuda.node'),
      path.join(directory, 'prebuilds', `${process.platform}-${process.arch}`, 'fused_optim_cuda.node'),
    ]) {
      expect(reason).toContain(`  ${place}: no such file`);
    }
    expect(reason).toContain('npm run build:cuda');
    expect(backend).toMatchObject({
      available: false,
      reason,
      driver: null,
      cublas: null,
      nccl: null,
      binary: null,
    });
    expect(messages).toHaveLength(4);
    expect(messages[0]).toContain('Expected CUDA to be available for cuda.tensor() but no CUDA addon');
  });

  test('looks nowhere else when the environment says where', () => {
    const file = path.join(directory, 'package.json');
    const [facts] = program({ FUSED_OPTIM_CUDA_ADDON: file.replace('.json', '.node') });
    expect((facts as [boolean, string])[1]).toContain('package.node: no such file');
    expect((facts as [boolean, string])[1]).not.toContain('build-cuda');
  });

  test('has a doctor who prints the reason', () => {
    const { status, output } = runNode([path.join('dist', 'cli', 'main.js'), 'doctor'], directory, {
      FUSED_OPTIM_CUDA_ADDON: '',
    });
    expect(status).toBe(0);
    expect(output).toMatch(/^cuda +not here: no CUDA addon loads/m);
  });
});

describeStandIn('without a driver', () => {
  test('says so, and how', () => {
    fs.writeFileSync(
      path.join(directory, 'driver.js'),
      `const { backends, cuda } = require('fused-optim');
       console.log(JSON.stringify([cuda.isAvailable(), cuda.reason, backends().cuda]));
       try { cuda.tensor([2]); } catch (error) { console.log(error.message); }`,
    );
    const env = { FUSED_OPTIM_CUDA_ADDON: addon, FUSED_OPTIM_STAND_IN_DEVICES: '0' };
    const { status, output } = runNode(['driver.js'], directory, env);
    const [first, message] = output.trim().split('\n');
    expect(status).toBe(0);
    const [available, reason, backend] = JSON.parse(first!) as [boolean, string, object];
    expect(available).toBe(false);
    expect(reason).not.toBe('');
    expect(backend).toMatchObject({ available: false, reason, devices: [], binary: addon });
    expect(message).toContain('Expected CUDA to be available for cuda.tensor() but ');
  });

  test('has a doctor who prints devices and cuBLAS where they are', () => {
    const { output } = runNode([path.join('dist', 'cli', 'main.js'), 'doctor'], directory, {
      FUSED_OPTIM_CUDA_ADDON: addon,
      FUSED_OPTIM_STAND_IN_CUBLAS: 'off',
    });
    expect(output).toMatch(/^cuda +2 devices, driver /m);
    expect(output).toMatch(/^device 0 +Stand-in 0, compute capability 9\.0, 1\.0 GiB, 3 multiprocessors$/m);
    expect(output).toMatch(/^cublas +\w/m);
    expect(output).toMatch(/^nccl +2\.27\.3 \(the stand-in's own\)$/m);
    const without = runNode([path.join('dist', 'cli', 'main.js'), 'doctor'], directory, {
      FUSED_OPTIM_CUDA_ADDON: addon,
      FUSED_OPTIM_STAND_IN_NCCL: 'off',
    });
    expect(without.output).toMatch(/^nccl +no NCCL could be loaded; tried: nothing/m);
    expect(without.output).toContain(
      'Processes on these GPUs cannot train together: no NCCL could be loaded',
    );
  });
});
