/** Names the folder of prebuilds/ whose binaries are made for this process. */
import fs from 'node:fs';

const programInterpreter = 3;

/**
 * The dynamic loader that a 64-bit little-endian ELF program asks for, from its first bytes: the path says which C library
 * it is linked with. Empty for anything else, and for static programs.
 */
export function interpreterOf(file: string): string {
  let open: number | undefined;
  try {
    open = fs.openSync(file, 'r');
    const bytes = Buffer.alloc(4096);
    const length = fs.readSync(open, bytes, 0, bytes.length, 0);
    const [elf64, littleEndian] = [2, 1];
    if (length < 64 || bytes.toString('latin1', 0, 4) !== '\x7fELF') return '';
    if (bytes[4] !== elf64 || bytes[5] !== littleEndian) return '';
    const size = bytes.readUInt16LE(54);
    for (let i = 0, at = Number(bytes.readBigUInt64LE(32)); i < bytes.readUInt16LE(56); i++, at += size) {
      if (at + size > length) return '';
      if (bytes.readUInt32LE(at) !== programInterpreter) continue;
      const from = Number(bytes.readBigUInt64LE(at + 8));
      const text = bytes.toString(
        'latin1',
        from,
        Math.min(from + Number(bytes.readBigUInt64LE(at + 32)), length),
      );
      return text.replace(/\0.*$/s, '');
    }
    return '';
  } catch {
    // No such file, or not ours to read: then the common C library is assumed, and loading tells.
    return '';
  } finally {
    if (open !== undefined) fs.closeSync(open);
  }
}

/** As `linux-x64`, or `linux-x64-musl` for a Node that musl loads. */
export function platformName(program = process.execPath): string {
  const name = `${process.platform}-${process.arch}`;
  const musl = process.platform === 'linux' && /(?:^|\/)ld-musl-/.test(interpreterOf(program));
  return musl ? `${name}-musl` : name;
}
