import fs from 'node:fs';
import path from 'node:path';
import { candidates } from '../../lib/native';
import { root } from './scratch';

test('the addon needs nothing of V8 or of the inside of Node to load', () => {
  const binary = fs.readFileSync(
    candidates(root).find((file) => fs.existsSync(file))!,
    'latin1',
  );
  // Mangled names of the namespaces v8 and node, and libuv's. One is looked up when it runs, and done without where it
  // is missing: native/node/buffer_pin.cpp.
  const optional = '_ZN2v811ArrayBuffer15GetBackingStoreEv';
  expect(binary).toContain('napi_create_function');
  const names = binary.match(/_ZNK?2v8\w*|_ZNK?4node\w*|\buv_[a-z_]+/g) ?? [];
  expect(names.filter((name) => name !== optional)).toEqual([]);
});

test('installing opens no connection of its own', () => {
  const script = fs.readFileSync(path.join(root, 'scripts', 'install.js'), 'utf8');
  const modules = [...script.matchAll(/require\('([^']+)'\)/g)].map((match) => match[1]);
  expect(modules.sort()).toEqual([
    '../dist/platform',
    'node:child_process',
    'node:fs',
    'node:os',
    'node:path',
  ]);
  expect(script).not.toMatch(/https?:|\bfetch\(|\bcurl\b|\bwget\b/);
  // npm runs these of a package that is installed; `prepare` is run in clones only.
  const { scripts } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  expect(Object.keys(scripts).filter((name) => /^(pre|post)?install$/.test(name))).toEqual(['install']);
});
