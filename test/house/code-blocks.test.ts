/** Every code block of the README, of docs/ and of the examples is run, or checked where it cannot run. */
import fs from 'node:fs';
import path from 'node:path';
import { backends } from 'fused-optim';
import { noCuda } from '../helpers/cuda';
import { python, testWithPython } from '../helpers/files';
import { blocks, blocksIn, outputsIn, type Block } from './code-blocks/blocks';
import { exceptionOf, exceptions } from './code-blocks/exceptions';
import { programOf } from './code-blocks/program';
import { commandsIn, problemOf } from './code-blocks/shell';
import { packageTree, typeCheck } from './package-tree';
import { root, run, runNode, scratchDirectory, writeFiles } from './scratch';

/** Documents whose programs another test runs, with what they need. */
const elsewhere: Readonly<Record<string, string>> = {
  'docs/tfjs.md': 'test/integrations/tfjs/docs.test.ts',
};

/** Blocks of plain text, by how they begin, and what holds them. */
const texts: readonly (readonly [document: string, begins: string, why: string])[] = [
  ['README.md', 'Unknown option', 'test/house/docs.test.ts compares it with the errors'],
  ['docs/cli.md', 'NAdam after 1 step', 'below'],
  ['docs/distributed-plan.md', 'Muon over llama-8b', 'test/cli/plan.test.ts runs the command above it'],
  ['docs/design.md', '', 'drawings of the house; their paths are checked by test/house/docs.test.ts'],
];

const all = blocks();
const of = (...languages: string[]): Block[] => all.filter(({ language }) => languages.includes(language));
const named = (list: readonly Block[]) =>
  list.map((block) => [`${block.document}:${block.line}`, block] as const);

test('every block says what it is', () => {
  const known = ['ts', 'js', 'sh', 'json', 'python', 'text', 'c'];
  const others = all.filter(({ language }) => !known.includes(language));
  expect(others.map(({ document, line, language }) => `${document}:${line} ${language}`)).toEqual([]);
});

describe('programs', () => {
  const directory = packageTree();
  const programs = of('ts', 'js').filter(
    ({ document, text }) => !(document in elsewhere) && !exceptionOf(document, text),
  );
  const fileOf = ({ document, line }: Block): string =>
    `${document.replace(/\.md$/, '').replace(/\W+/g, '-')}-${line}`;
  const problems = new Map<string, string[]>();

  beforeAll(() => {
    const typed = programs.filter(({ language }) => language === 'ts');
    writeFiles(
      directory,
      Object.fromEntries(
        programs.map((block) => [
          `${fileOf(block)}.${block.language === 'ts' ? 'mts' : 'mjs'}`,
          programOf(block.text).text,
        ]),
      ),
    );
    const { output } = typeCheck(
      directory,
      typed.map((block) => `${fileOf(block)}.mts`),
    );
    let file = '';
    for (const line of output.split('\n').filter(Boolean)) {
      // Lines that are indented say more of the one above.
      if (!line.startsWith(' ')) file = /^([\w-]+)\.mts/.exec(line)?.[1] ?? '';
      problems.set(file, [...(problems.get(file) ?? []), line]);
    }
    // What belongs to no block would be missed by all.
    expect(problems.get('') ?? []).toEqual([]);
  }, 120_000);

  test.each(named(programs))(
    '%s does what it says',
    (name, block) => {
      expect(problems.get(fileOf(block)) ?? []).toEqual([]);
      if (programOf(block.text).needsCuda && noCuda) {
        process.stderr.write(`Type-checked only: ${name} (${noCuda}).\n`);
        return;
      }
      const folder = path.join(directory, `run-${fileOf(block)}`);
      fs.mkdirSync(folder);
      const cuda = noCuda ? {} : { FUSED_OPTIM_CUDA_ADDON: backends().cuda.binary! };
      const result = run(process.execPath, [path.join(directory, `${fileOf(block)}.mjs`)], folder, cuda);
      expect(result).toMatchObject({ status: 0 });
      const expected = outputsIn(block.text);
      const output = result.output.trimEnd();
      if (expected.every((text) => text !== undefined)) expect(output).toBe(expected.join('\n'));
      let from = 0;
      for (const text of expected.filter((line) => line !== undefined)) {
        expect(output.slice(from)).toContain(text);
        from = output.indexOf(text, from) + text.length;
      }
    },
    60_000,
  );

  test.each(Object.entries(elsewhere))('those of %s are run by %s', (document, file) => {
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    expect(text).toContain(`'${path.basename(document)}'`);
  });

  const shown = of('text').find(({ document }) => document === 'docs/cli.md')!;
  test('inspect prints what docs/cli.md shows', () => {
    const program = `
      import { NAdam } from 'fused-optim';
      const a = { name: 'a', shape: [3, 2], data: new Float32Array(6), grad: new Float32Array(6) };
      const optimizer = new NAdam([a]);
      optimizer.step();
      await optimizer.save('optimizer.safetensors');`;
    writeFiles(directory, { 'save.mjs': program });
    expect(runNode(['save.mjs'], directory)).toMatchObject({ status: 0 });
    const cli = path.join('dist', 'cli', 'main.js');
    const { output } = runNode([cli, 'inspect', 'optimizer.safetensors'], directory);
    const lines = (text: string): string[] =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => line.trimEnd());
    expect(lines(output)).toEqual(lines(shown.text));
  });
});

describe('what cannot run', () => {
  const read = (file: string): string => fs.readFileSync(path.join(root, file), 'utf8');
  const excused = all.filter(({ document, text }) => exceptionOf(document, text));

  test('is listed, with a block for each exception', () => {
    expect(excused).toHaveLength(exceptions.length);
    const others = of('c').filter((block) => !excused.includes(block));
    expect(others.map(({ document, line }) => `${document}:${line}`)).toEqual([]);
  });

  test.each(named(excused))('%s is held by something else', (_, { document, text }) => {
    const { excerptOf, heldBy, header } = exceptionOf(document, text)!;
    expect([excerptOf, heldBy, header].filter((file) => file !== undefined)).toHaveLength(1);
    if (heldBy !== undefined) expect(fs.existsSync(path.join(root, heldBy))).toBe(true);
    if (excerptOf !== undefined) {
      const lines = read(excerptOf)
        .split('\n')
        .map((line) => line.trim());
      const foreign = text.split('\n').filter((line) => !lines.includes(line.trim()));
      expect(foreign).toEqual([]);
    }
    if (header !== undefined) {
      const used = [...text.matchAll(/api->(\w+)|\b(fused_optim_\w+|FUSED_OPTIM_\w+)/g)];
      const unknown = used
        .map(([, member, name]) => member ?? name!)
        .filter((name) => !read(header).includes(name));
      expect(unknown).toEqual([]);
    }
  });
});

describe('shell', () => {
  test.each(named(of('sh')))('%s names what there is', (_, { text }) => {
    const problems = commandsIn(text).map((command) => [command, problemOf(command)]);
    expect(problems.filter(([, problem]) => problem !== undefined)).toEqual([]);
  });

  test.each([
    ['npm run bnech', 'there is no npm script "bnech"'],
    ['npm run bench -- --quik', '"bench" has no option --quik'],
    ['npx fused-optim doktor', 'fused-optim has no command "doktor"'],
    ['npx fused-optim bench --fast', '"fused-optim" has no option --fast'],
    ['FUSED_OPTIM_SPEED=9 npm test', 'no variable FUSED_OPTIM_SPEED is documented'],
    ['npm install left-pad', 'no package "left-pad" is known here'],
    ['mpirun -n 2 node examples/none.ts', 'there is no file examples/none.ts'],
    ['mpirun -n 2 node scripts/demo.js --ranks', '"demo" has no option --ranks'],
    ['node examples/none.ts', 'there is no file examples/none.ts'],
    ['rm -rf build', '"rm" is no program that can be checked'],
  ])('"%s" is noticed', (command, problem) => expect(problemOf(command)).toBe(problem));
});

describe('data', () => {
  test.each(named(of('json')))('%s is JSON', (_, { text }) => {
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  });

  const parse = 'import ast, sys; ast.parse(open(sys.argv[1]).read())';
  const directory = scratchDirectory();
  testWithPython('ast').each(named(of('python')))('%s is Python', (_, { text }) => {
    writeFiles(directory, { 'block.py': text });
    expect(run(python, ['-c', parse, 'block.py'], directory)).toEqual({ status: 0, output: '' });
  });

  test.each(named(of('text')))('%s is held by a test', (_, { document, text }) => {
    expect(texts.some(([known, begins]) => known === document && text.startsWith(begins))).toBe(true);
  });
});

describe('the reading of documents', () => {
  test('finds blocks, their languages and lines', () => {
    expect(blocksIn('x.md', 'a\n```ts\nb\nc\n```\n~~~\n```\n~~~\n')).toEqual([
      { document: 'x.md', line: 3, language: 'ts', text: 'b\nc' },
      { document: 'x.md', line: 7, language: '', text: '```' },
    ]);
    expect(() => blocksIn('x.md', '```\n')).toThrow('has no end');
  });

  test('finds what programs say that they print', () => {
    const text = 'console.log(1); // 1\nconsole.log(f(2));\n// 2\n// 3\nconsole.log(4);\n';
    expect(outputsIn(text)).toEqual(['1', '2\n3', undefined]);
  });

  test('imports what is ours and gives what a reader has, unless the block makes it', () => {
    const { text, needsCuda } = programOf('const n = 1; new Lion(parameters);');
    expect(text).toContain("import { Lion } from 'fused-optim';");
    expect(text).toContain('const parameters =');
    expect(text).not.toContain('const n = 64');
    expect(needsCuda).toBe(false);
    expect(programOf('cuda.synchronize();').needsCuda).toBe(true);
  });
});
