import fs from 'node:fs';
import path from 'node:path';
import { root } from '../scratch';

/** A fenced block of a document. */
export interface Block {
  readonly document: string;
  /** Of its first line of code. */
  readonly line: number;
  /** As it stands behind the fence; empty where there is nothing. */
  readonly language: string;
  readonly text: string;
}

function markdownUnder(folder: string): string[] {
  return fs
    .readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
}

/** Documents whose blocks are tested. */
export function documents(): string[] {
  const examples = fs
    .readdirSync(path.join(root, 'examples'))
    .map((name) => `examples/${name}/README.md`)
    .filter((file) => fs.existsSync(path.join(root, file)));
  return ['README.md', 'CONTRIBUTING.md', 'bench/README.md', ...markdownUnder('docs'), ...examples];
}

export function blocksIn(document: string, text: string): Block[] {
  const found: Block[] = [];
  let open: { fence: string; language: string; line: number; lines: string[] } | undefined;
  text.split('\n').forEach((line, i) => {
    const fence = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    if (!open && fence) open = { fence: fence[1]!, language: fence[2]!.trim(), line: i + 2, lines: [] };
    else if (open && fence?.[1] === open.fence && fence[2]!.trim() === '') {
      const { language, line: first, lines } = open;
      found.push({ document, line: first, language, text: lines.join('\n') });
      open = undefined;
    } else open?.lines.push(line);
  });
  if (open) throw new Error(`The block at line ${open.line} of ${document} has no end.`);
  return found;
}

export const blocks = (): Block[] =>
  documents().flatMap((document) => blocksIn(document, fs.readFileSync(path.join(root, document), 'utf8')));

/**
 * What a program says that it prints, log by log: the comment behind a `console.log()`, or the comment lines below it;
 * undefined where there is neither. What a comment tells otherwise stands above.
 */
export function outputsIn(text: string): (string | undefined)[] {
  return [...text.matchAll(/console\.log\(.*\);(?: \/\/ (.*))?\n?((?: *\/\/ .*(?:\n|$))*)/g)].map(
    ([, line, lines]) => line ?? (lines ? lines.replace(/^ *\/\/ /gm, '').trimEnd() : undefined),
  );
}
