import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, linkFromRoot, runNode, scratchDirectory, writeFiles } from './scratch';

/** A tree with this repository's settings and one source in each language. */
function lint(files: Readonly<Record<string, string>>) {
  const directory = fs.mkdtempSync(path.join(scratch, 'tree-'));
  copyFromRoot(directory, [
    ...['.clang-format', 'CPPLINT.cfg', 'eslint.config.mjs', '.prettierrc.json'],
    ...['scripts/lint.js', 'tsconfig.json', 'tsconfig.tools.json'],
  ]);
  linkFromRoot(directory, 'node_modules');
  writeFiles(directory, files);
  return runNode(['scripts/lint.js'], directory);
}

const scratch = scratchDirectory();

describe('lint', () => {
  test('passes on clean sources', () => {
    const { status, output } = lint({
      'lib/good.ts': "export const good: string = 'good';\n",
      'native/good.cpp': 'int good(int x) { return x + 1; }\n',
    });
    expect(output).not.toContain('FAILED');
    expect(status).toBe(0);
  }, 60_000);

  test('fails with each tool that has a finding', () => {
    const { status, output } = lint({
      'lib/bad.ts': 'export async function bad(): Promise<void> { Promise.resolve() }',
      'native/bad.cpp': '#include <string>\nusing namespace std;\nint  bad ( ) { return 1 ; }\n',
    });
    expect(status).toBe(1);
    for (const tool of ['prettier', 'eslint', 'cpplint'])
      expect(output).toMatch(new RegExp(`^${tool} +FAILED`, 'm'));
    // Its package has no binary for some machines, and then it says so.
    expect(output).toMatch(/^clang-format +(?:FAILED|not run)/m);
    expect(output).toContain('no-floating-promises');
    expect(output).toContain('build/namespaces');
  }, 60_000);
});
