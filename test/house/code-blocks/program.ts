/** Makes a whole program of a block: what it uses and does not make itself is imported or given. */
import ts from 'typescript';
import * as library from 'fused-optim';

/** Names that a reader has, and a document does not make anew in every block; each may use those above it. */
const given: Readonly<Record<string, string>> = {
  tensor: `const tensor = (name: string, ...shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return { name, shape, data: new Float32Array(size).fill(0.1), grad: new Float32Array(size).fill(0.01) };
  };`,
  parameters: `const parameters = [tensor('h.0.mlp.weight', 8, 4), tensor('h.0.mlp.bias', 8)];`,
  params: `const params = [tensor('h.0.mlp.weight', 8, 4), tensor('h.0.mlp.bias', 8)];`,
  model: `const model = { parameters: () => [tensor('h.0.mlp.weight', 8, 4), tensor('h.0.mlp.bias', 8)] };`,
  optimizer: 'const optimizer = new AdamW(parameters);',
  // The rank of a job of one: what the others would send is what it has.
  comm: `const still = (): Promise<void> => Promise.resolve();
  const take = (send: unknown, receive: unknown): Promise<void> => {
    (receive as Float32Array).set(send as Float32Array);
    return still();
  };
  const comm: ConstructorParameters<typeof Sharded>[0] = {
    engine: 'none', rank: 0, size: 1,
    allReduce: still, reduceScatter: take, allGather: take, broadcast: still, barrier: still, close: still,
  };`,
  n: 'const n = 64;',
  validationLoss: 'const validationLoss = 1;',
  evaluate: 'const evaluate = (_: unknown): number => 0;',
  array: 'const array = new Float32Array(6);',
  weight: `const weight = cuda.from(new Float32Array(6), { shape: [2, 3], name: 'weight' });`,
  buffer: `const buffer = cuda.tensor([768, 768], 'bfloat16');`,
};

interface Names {
  readonly made: Set<string>;
  readonly used: Set<string>;
}

/** Names that a program declares, and those that it refers to. */
function namesIn(text: string): Names {
  const names: Names = { made: new Set(), used: new Set() };
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const { parent } = node;
      const declares =
        (ts.isVariableDeclaration(parent) ||
          ts.isBindingElement(parent) ||
          ts.isParameter(parent) ||
          ts.isFunctionDeclaration(parent) ||
          ts.isClassDeclaration(parent) ||
          ts.isInterfaceDeclaration(parent) ||
          ts.isImportSpecifier(parent) ||
          ts.isNamespaceImport(parent)) &&
        parent.name === node;
      const isMember =
        (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        (ts.isPropertyAssignment(parent) && parent.name === node) ||
        (ts.isBindingElement(parent) && parent.propertyName === node) ||
        ts.isImportSpecifier(parent) ||
        ts.isPropertySignature(parent);
      if (declares) names.made.add(node.text);
      else if (!isMember) names.used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('block.mts', text, ts.ScriptTarget.ES2022, true));
  return names;
}

export interface Program {
  readonly text: string;
  /** Whether it touches memory of a GPU. */
  readonly needsCuda: boolean;
}

export function programOf(block: string): Program {
  const own = namesIn(block);
  const lines: string[] = [];
  const used = new Set(own.used);
  for (const [name, definition] of Object.entries(given).reverse()) {
    if (!used.has(name) || own.made.has(name)) continue;
    lines.unshift(definition);
    for (const needed of namesIn(definition).used) used.add(needed);
  }
  const imported = Object.keys(library).filter((name) => used.has(name) && !own.made.has(name));
  if (imported.length > 0) lines.unshift(`import { ${imported.join(', ')} } from 'fused-optim';`);
  const needsCuda = used.has('cuda') || used.has('Offload');
  // An import or export makes it a module, in which `await` may stand outside of functions.
  return { text: [...lines, block, 'export {};', ''].join('\n'), needsCuda };
}
