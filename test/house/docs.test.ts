import fs from 'node:fs';
import path from 'node:path';
import * as library from 'fused-optim';
import { type Optimizer, type Parameter } from 'fused-optim';
import { root } from './scratch';

const read = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');

const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'].concat(
  fs.readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`),
);
const manifest = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

describe.each(documents.filter((name) => name.endsWith('.md')))('%s', (document) => {
  const text = read(document);

  test('links to files that exist', () => {
    const targets = [...text.matchAll(/\]\((?!<?https?:)([^)#]+)/g)].map((match) => match[1]!);
    const missing = targets.filter((file) => !fs.existsSync(path.join(root, path.dirname(document), file)));
    expect(missing).toEqual([]);
  });

  test('names paths of the repository that exist', () => {
    const directories = 'bench|docs|examples|lib|native|scripts|test|\\.ci|\\.github';
    const named = [...text.matchAll(new RegExp(`\`((?:${directories})/[\\w./-]*)\``, 'g'))].map(
      (match) => match[1]!,
    );
    expect(named.filter((name) => !fs.existsSync(path.join(root, name)))).toEqual([]);
  });

  test('names npm scripts that exist', () => {
    const scripts = [...text.matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1]!);
    expect(scripts.filter((script) => !(script in manifest.scripts))).toEqual([]);
  });
});

test('docs/README.md lists every page and every example', () => {
  const listed = [...read('docs/README.md').matchAll(/\]\(([\w./-]+)\)/g)].map((match) => match[1]!);
  const pages = fs.readdirSync(path.join(root, 'docs')).filter((name) => /\.md$/.test(name));
  const examples = fs
    .readdirSync(path.join(root, 'examples'))
    .map((name) => `../examples/${name}/README.md`)
    .filter((file) => fs.existsSync(path.join(root, 'docs', file)));
  expect(listed.sort()).toEqual([...pages.filter((name) => name !== 'README.md'), ...examples].sort());
  expect(read('README.md')).toContain('](docs/README.md)');
});

test('CONTRIBUTING gives a reason for every dependency, and for nothing else', () => {
  const section = read('CONTRIBUTING.md').split('## Dependencies')[1]!;
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const named = rows.flatMap((row) =>
    [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!),
  );
  const installed = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  expect(named.sort()).toEqual(installed.sort());
});

type OptimizerClass = new (params: Parameter[], options?: object) => Optimizer;

function isOptimizer(value: unknown): value is OptimizerClass {
  return typeof value === 'function' && value.prototype instanceof library.Optimizer;
}

const classes = Object.entries(library).flatMap(
  ([name, value]: [string, unknown]): [string, OptimizerClass][] =>
    isOptimizer(value) ? [[name, value]] : [],
);

/** The cells of each row of the README's table whose header begins with the given words, by the class of the row. */
function table(header: RegExp): Map<string, string[]> {
  const lines = read('README.md').split('\n');
  const start = lines.findIndex((line) => header.test(line));
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'));
  const rows = lines
    .slice(start + 2, start + length)
    .map((line) => line.split(' | ').map((c) => c.replace(/^\||\|$/g, '').trim()));
  return new Map(rows.map(([name, ...cells]) => [name!.replaceAll('`', ''), cells]));
}

describe('the README on optimizers', () => {
  const facts = table(/^\| class +\| rule/);
  const options = table(/^\| class +\| options/);
  const elements = 1024;
  const parameter = (): Parameter => ({
    shape: [32, elements / 32],
    data: new Float32Array(elements),
    grad: new Float32Array(elements).fill(1),
  });

  test('lists every class in both tables', () => {
    const names = classes.map(([name]) => name).sort();
    expect([...facts.keys()].sort()).toEqual(names);
    expect([...options.keys()].sort()).toEqual(names);
  });

  test.each(classes)('tells the truth about %s', (name, Class) => {
    const [rule, paper, states, bytes] = facts.get(name)!;
    const source = read(`lib/optimizers/${name.toLowerCase()}.ts`);
    expect(source).toContain(`rule: '${/rules\/(\w+)\.h/.exec(rule!)?.[1] ?? 'no rule'}'`);
    for (const [, url] of paper!.matchAll(/\]\((https:[^ ]*?)\)(?:;|$)/g)) expect(source).toContain(url);

    const tensor = parameter();
    const optimizer = new Class([tensor]);
    optimizer.step();
    const { step, ...state } = optimizer.state(tensor);
    expect(step).toBe(1);
    expect([...states!.matchAll(/\w+/g)].map(([state]) => state)).toEqual(
      expect.arrayContaining(Object.keys(state)),
    );
    expect(states!.match(/\w+/g) ?? []).toHaveLength(Object.keys(state).length);
    expect(optimizer.stateBytes()).toBe(Number(bytes) * elements);
    optimizer.dispose();
  });

  test.each(classes)('lists the options of %s with their defaults', (name, Class) => {
    const listed = [...options.get(name)![0]!.matchAll(/`(\w+): ([^`]+)`/g)].map(([, option, value]) => [
      option,
      value,
    ]);
    const documented = Object.fromEntries(listed) as Record<string, string>;
    const optimizer = new Class([parameter()]);
    const {
      params: _,
      algorithm: _tag,
      maximize,
      ...actual
    } = optimizer.paramGroups[0] as unknown as Record<string, unknown>;
    optimizer.dispose();
    expect(maximize).toBe(false);
    expect(Object.keys(documented).sort()).toEqual(Object.keys(actual).sort());
    for (const [option, value] of Object.entries(documented)) {
      expect([option, actual[option]]).toEqual([
        option,
        value === 'lr' ? actual.lr : (JSON.parse(value.replaceAll("'", '"')) as unknown),
      ]);
    }
  });

  test('shows errors as they are', () => {
    const message = (act: () => void): string => {
      try {
        act();
      } catch (error) {
        return (error as Error).message;
      }
      return 'no error';
    };
    const { AdamW } = library;
    const detached: Parameter = { name: 'w', data: new Float32Array(4), grad: new Float32Array(4) };
    const optimizer = new AdamW([detached]);
    const { buffer } = detached.grad as Float32Array;
    structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    const shown = read('README.md').split('```text\n')[1]!.split('```')[0]!.trim().split('\n');
    expect(shown).toEqual([
      message(() => new AdamW([parameter()], { learningRate: 1 } as object)),
      message(() => new AdamW([parameter()], { betas: [0.9, 1] })),
      message(() => optimizer.step()),
    ]);
    optimizer.dispose();
  });
});
