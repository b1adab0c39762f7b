import fs from 'node:fs';
import path from 'node:path';
import { interpreterOf, platformName } from '../lib/platform';
import { scratchDirectory } from './house/scratch';

const scratch = scratchDirectory();

/** The start of an ELF program that asks for a dynamic loader. */
function program(interpreter: string, cut?: number): string {
  const bytes = Buffer.alloc(64 + 2 * 56 + interpreter.length + 1);
  bytes.write('\x7fELF\x02\x01', 0, 'latin1');
  bytes.writeBigUInt64LE(64n, 32); // where the program headers start
  bytes.writeUInt16LE(56, 54); // the size of one
  bytes.writeUInt16LE(2, 56); // how many
  bytes.writeUInt32LE(6, 64); // the first describes the headers themselves
  bytes.writeUInt32LE(3, 120); // the second the interpreter
  bytes.writeBigUInt64LE(176n, 128);
  bytes.writeBigUInt64LE(BigInt(interpreter.length + 1), 152);
  bytes.write(interpreter, 176, 'latin1');
  const file = path.join(scratch, `program-${Math.random()}`);
  fs.writeFileSync(file, bytes.subarray(0, cut));
  return file;
}

describe('the platform', () => {
  test('is that of this process', () => {
    const plain = `${process.platform}-${process.arch}`;
    expect([plain, `${plain}-musl`]).toContain(platformName());
    // What Node itself says of its C library, slowly.
    const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
    if (process.platform === 'linux' && header.glibcVersionRuntime) expect(platformName()).toBe(plain);
  });

  const onLinux = process.platform === 'linux' ? test : test.skip;
  onLinux('has a name of its own where musl loads Node', () => {
    const plain = `${process.platform}-${process.arch}`;
    expect(platformName(program('/lib/ld-musl-x86_64.so.1'))).toBe(`${plain}-musl`);
    expect(platformName(program('/lib64/ld-linux-x86-64.so.2'))).toBe(plain);
    expect(platformName(program('/nix/store/musl/lib/ld-linux-x86-64.so.2'))).toBe(plain);
  });

  test('reads the interpreter of a program, and nothing where there is none', () => {
    expect(interpreterOf(program('/lib/ld-musl-aarch64.so.1'))).toBe('/lib/ld-musl-aarch64.so.1');
    expect(interpreterOf(program('/lib/ld-musl-aarch64.so.1', 130))).toBe('');
    expect(interpreterOf(path.join(scratch, 'absent'))).toBe('');
    const text = path.join(scratch, 'text');
    fs.writeFileSync(text, '#!/bin/sh\n');
    expect(interpreterOf(text)).toBe('');
  });
});
