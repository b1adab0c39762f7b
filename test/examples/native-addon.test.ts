/** The native addon of the examples, built by node-gyp over the package as users have it. */
import fs from 'node:fs';
import path from 'node:path';
import { packageTree } from '../house/package-tree';
import { root, runNode, scratchDirectory, writeFiles } from '../house/scratch';
import { noCompiler } from '../helpers/native-api';

const example = path.join(root, 'examples', 'native-addon');
const names = fs.readdirSync(example).filter((name) => !['build', 'node_modules'].includes(name));

/** Headers that lie beside Node save node-gyp a download. */
function nodeDirectory(): string | undefined {
  const given = process.env.npm_config_nodedir ?? process.env.npm_package_config_node_gyp_nodedir;
  const beside = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const found = given ?? beside;
  return fs.existsSync(path.join(found, 'include', 'node', 'node_api.h')) ? found : undefined;
}

const tree = packageTree();
const directory = scratchDirectory();
const reason = noCompiler;
if (reason) process.stderr.write(`Not tested: the native addon of the examples (${reason}).\n`);

describe('the native addon of the examples', () => {
  const needsCompiler = reason ? test.skip : test;

  beforeAll(() => {
    for (const name of names) fs.copyFileSync(path.join(example, name), path.join(directory, name));
    fs.mkdirSync(path.join(directory, 'node_modules'));
    fs.symlinkSync(tree, path.join(directory, 'node_modules', 'fused-optim'), 'dir');
    // A package that is installed has its native sources in it.
    fs.cpSync(path.join(root, 'native', 'include'), path.join(tree, 'native', 'include'), {
      recursive: true,
    });
  });

  needsCompiler(
    'is built by node-gyp, and trains memory of its own',
    () => {
      const gyp = require.resolve('node-gyp/bin/node-gyp.js');
      const headers = nodeDirectory();
      const args = [gyp, 'rebuild', ...(headers === undefined ? [] : [`--nodedir=${headers}`])];
      const built = runNode(args, directory);
      expect({ status: built.status, output: built.output }).toMatchObject({ status: 0 });
      expect(built.output).not.toMatch(/warning:/);
      expect(runNode(['train.js'], directory)).toEqual({
        status: 0,
        output: expect.stringMatching(/^y = 2\.00 x \+ 1\.00, mean squared error \d\.\de-\d+\n$/) as string,
      });
      writeFiles(directory, {
        'refused.js': `
          const { train } = require('./build/Release/line.node');
          const why = (act) => { try { act(); return 'nothing'; } catch (error) { return error.message; } };
          console.log(why(() => train()));
          console.log(why(() => train({}, 1)));`,
      });
      const message = 'Expected train() to be given nativeApi() and a number of steps.';
      expect(runNode(['refused.js'], directory)).toEqual({ status: 0, output: `${message}\n${message}\n` });
    },
    300_000,
  );

  test('finds the header by require and by import', () => {
    const expected = `${path.join(fs.realpathSync(tree), 'native', 'include')}\n`;
    expect(runNode(['-p', "require('fused-optim').include"], directory)).toEqual({
      status: 0,
      output: expected,
    });
    writeFiles(directory, {
      'where.mjs': "import { include } from 'fused-optim'; console.log(include);",
    });
    expect(runNode(['where.mjs'], directory)).toEqual({ status: 0, output: expected });
  });

  test('has one table for all threads, which outlives them', () => {
    writeFiles(directory, {
      'worker.js': `
        const { Worker, isMainThread } = require('node:worker_threads');
        const { nativeApi } = require('fused-optim');
        if (typeof nativeApi() !== 'object') throw new Error('no table');
        if (isMainThread) new Worker(__filename).on('exit', (code) => console.log(code, typeof nativeApi()));`,
    });
    expect(runNode(['worker.js'], directory)).toEqual({ status: 0, output: '0 object\n' });
  });
});
