/** The framework of docs/framework-authors.md. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { AdamW, include } from 'fused-optim';
import { Heap, Variable } from '../../examples/framework/heap';
import { Network } from '../../examples/framework/network';
import { train } from '../../examples/framework/train';
import { noCompiler } from '../helpers/native-api';

test.each(['adamw', 'muon'] as const)('%s learns, while the memory grows', (name) => {
  const { losses, pages, network } = train(name, 200);
  expect(losses[0]).toBeGreaterThan(0.5);
  expect(losses.at(-1)).toBeLessThan(0.01);
  expect(pages[1]).toBeGreaterThan(pages[0]);
  expect(network.hidden.data).toHaveLength(32);
});

test('the gradients are those of the loss', () => {
  const network = new Network(3);
  const points = [
    [0.3, -0.7],
    [1, 0.2],
  ] as const;
  network.step(points, [0.5, -0.25]);
  const grads = network.parameters.map(({ grad }) => grad!.slice());
  for (const [k, parameter] of network.parameters.entries()) {
    grads[k]!.forEach((value, i) => {
      const at = (shift: number): number => {
        const before = parameter.data[i]!;
        parameter.data[i] = before + shift;
        const loss = network.step(points, [0.5, -0.25]);
        parameter.data[i] = before;
        return loss;
      };
      expect((at(1e-2) - at(-1e-2)) / 2e-2).toBeCloseTo(value, 4);
    });
  }
});

test('a variable is the same array until the memory grows, and swaps its gradients', () => {
  const heap = new Heap();
  const variable = new Variable(heap, 'w', [2], 'vector');
  const { data } = variable;
  expect(variable.data).toBe(data);
  expect(variable.grad).toBeNull();
  const first = variable.nextGrad();
  first.fill(1);
  const optimizer = new AdamW([variable], { lr: 0.1 });
  optimizer.step();
  const second = variable.nextGrad();
  expect(second.byteOffset).not.toBe(first.byteOffset);
  expect(first[0]).toBe(1);
  heap.allocate(100_000);
  expect(data).toHaveLength(0);
  expect(variable.data[0]).toBeCloseTo(-0.1);
  variable.nextGrad().fill(1);
  optimizer.step();
  expect(variable.data[0]).toBeCloseTo(-0.2);
  optimizer.zeroGrad();
  expect(variable.grad).toBeNull();
  optimizer.dispose();
});

describe('docs/framework-authors.md', () => {
  const root = path.join(__dirname, '..', '..');
  const read = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');
  const blocks = (language: string): string[] =>
    [...read('docs/framework-authors.md').matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(
      ([, code]) => code!,
    );

  test('shows the code of the example', () => {
    const lines = new Set(
      read('examples/framework/heap.ts')
        .split('\n')
        .map((line) => line.trim()),
    );
    const shown = blocks('ts').flatMap((block) => block.split('\n').map((line) => line.trim()));
    expect(shown.length).toBeGreaterThan(10);
    expect(shown.filter((line) => !lines.has(line))).toEqual([]);
  });

  const compiles = noCompiler ? test.skip : test;
  compiles('shows C that compiles', () => {
    const [code] = blocks('c');
    const source =
      `#include <fused_optim.h>\n#include <node_api.h>\n#include <stdio.h>\n` +
      `void f(napi_env env, napi_value *arguments, void *external, float *weights, float *gradients) {\n${code}}\n`;
    const headers = createRequire(__filename)('node-api-headers') as { include_dir: string };
    const flags = ['-x', 'c', '-std=c99', '-Wall', '-Wextra', '-Werror', '-fsyntax-only'];
    const args = [...flags, '-I', include, '-isystem', headers.include_dir, '-'];
    expect(execFileSync(process.env.CXX ?? 'c++', args, { input: source, encoding: 'utf8' })).toBe('');
  });
});
