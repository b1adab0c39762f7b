'use strict';

// Reads what nvcc says of compiled kernels, ptxas's report and the PTX, and finds what is over budget.

// 64 registers let four blocks of 256 threads live on a multiprocessor, which is what saturates its memory. What
// is not an update in float32 or 16 bits may be made for fewer blocks, and have the registers of so many.
const maxRegisters = 64;
const registersFor = (blocks) => Math.min(255, Math.floor(65536 / 256 / blocks / 8) * 8);

/** Kernels in ptxas's report (-v): [{ symbol, architecture, registers, stack, spillStores, spillLoads }] */
function parseReport(text) {
  const kernels = [];
  let current;
  for (const line of text.split('\n')) {
    const [, symbol, architecture] = /Compiling entry function '([^']+)' for '([^']+)'/.exec(line) ?? [];
    if (symbol) kernels.push((current = { symbol, architecture }));
    if (!current) continue;
    const [, stack, stores, loads] =
      /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line) ?? [];
    // Functions that a kernel calls have lines of their own, below its name.
    if (stack !== undefined) {
      current.stack = Math.max(current.stack ?? 0, Number(stack));
      current.spillStores = (current.spillStores ?? 0) + Number(stores);
      current.spillLoads = (current.spillLoads ?? 0) + Number(loads);
    }
    const [, registers] = /Used (\d+) registers/.exec(line) ?? [];
    if (registers !== undefined) current.registers = Number(registers);
  }
  return kernels;
}

/**
 * Entries in PTX: a map from symbol to { doubles, loads, stores, narrow }. Loads and stores are of 16 bytes or more;
 * narrow are addresses at which as much is stored word by word.
 */
function parsePtx(text) {
  const entries = new Map();
  let current;
  for (const line of text.split('\n')) {
    const [, symbol] = /\.entry\s+([\w$]+)/.exec(line) ?? [];
    if (symbol)
      entries.set(symbol, (current = { doubles: [], loads: 0, stores: 0, narrow: 0, words: new Map() }));
    else if (line.startsWith('}')) current = undefined;
    const [, instruction] = /^\s*(?:@!?%\w+\s+)?([a-z]\w*(?:\.\w+(?:::\w+)?)+)\s/.exec(line) ?? [];
    if (!current || !instruction) continue;
    if (/\.f64\b/.test(instruction)) current.doubles.push(instruction);
    const wide = /\.v4\.[bfus]32$|\.v8\.[bfus]32$|\.v2\.[bfus]64$|\.v4\.[bfus]64$|\.b128$/.test(instruction);
    if (wide && /^ld\.(?:\w+\.)*?global\b/.test(instruction)) current.loads += 1;
    if (wide && /^st\.(?:\w+\.)*?global\b/.test(instruction)) current.stores += 1;
    const [, base, offset = '0'] = /\bst\.global\.[bfus]32\s+\[(%\w+)(?:\+(\d+))?\]/.exec(line) ?? [];
    if (!base) continue;
    const offsets = current.words.get(base) ?? new Set();
    current.words.set(base, offsets.add(Number(offset)));
    current.narrow += offsets.size === 4 && [0, 4, 8, 12].every((place) => offsets.has(place)) ? 1 : 0;
  }
  return entries;
}

/** What a demangled name says: a short name, and which rules hold. */
function describe(name) {
  const body = /fo::cuda::entry<([\s\S]*), (\d+)>\(/.exec(name)?.[1] ?? name.replace(/\([\s\S]*$/, '');
  const blocks = Number(/, (\d+)>\(/.exec(name)?.[1] ?? 0);
  const pass = /Pass<(?:\w+::)*(\w+), (\d+), ([\s\S]+), \(fo::cuda::PassKind\)(\d)>/.exec(body);
  const doubles = /\bdouble\b|\bDouble\b/.test(body);
  if (!pass) {
    const short = body.replace(/(?:\w+::)+/g, '');
    // Step counts and coefficients are computed in double, once a step; the one block of this kernel does it.
    return { short, doubles: doubles || blocks === 1, update: false, plain: false, blocks };
  }
  const [, rule, mode, flavor, kind] = pass;
  const kinds = ['update', 'observe', 'measure'];
  const flavors = { plain: /^(?:fo::cuda::)?(?:Pure<float\b|Plain\b)/.test(flavor) };
  const known = flavors.plain || /\b(?:Wide|Bf16)\b/.test(flavor);
  const flavorName = doubles ? 'float64' : flavors.plain ? 'float32' : flavor.replace(/(?:\w+::)+/g, '');
  return {
    short: `${kinds[kind] ?? kind} ${rule}${mode === '0' ? '' : ` mode ${mode}`}, ${flavorName}`,
    doubles,
    update: kind === '0',
    plain: flavors.plain,
    known,
    blocks,
  };
}

/** Sentences about what is wrong with a kernel: { name (demangled), architecture, registers, ..., ptx } */
function problemsOf(kernel) {
  const { short, doubles, update, plain, known, blocks } = describe(kernel.name);
  const where = `${short} for ${kernel.architecture}`;
  const problems = [];
  const expect = (holds, sentence) => holds || problems.push(`${where}: ${sentence}.`);
  const { registers, spillStores, spillLoads, ptx } = kernel;
  expect(
    spillStores === 0 && spillLoads === 0,
    `expected no spilled registers but ${spillStores} bytes are stored and ${spillLoads} loaded`,
  );
  const most = (update && !doubles) || blocks === 0 ? maxRegisters : registersFor(blocks);
  expect(registers <= most, `expected at most ${most} registers but it uses ${registers}`);
  expect(ptx !== undefined, 'expected PTX of the kernel but found none');
  if (!ptx) return problems;
  expect(
    doubles || ptx.doubles.length === 0,
    `expected no float64 instruction but found ${ptx.doubles.length}, such as ${ptx.doubles[0]}`,
  );
  if (update && plain) {
    expect(ptx.loads > 0, 'expected loads of 16 bytes from global memory but found none');
    expect(ptx.stores > 0, 'expected stores of 16 bytes to global memory but found none');
  }
  // Elements one by one, where there are fewer, are stored by a function that the kernel calls.
  if (update && known)
    expect(ptx.narrow === 0, `expected stores of 16 bytes but ${ptx.narrow} are of four words, one by one`);
  return problems;
}

module.exports = { describe, parsePtx, parseReport, problemsOf };
