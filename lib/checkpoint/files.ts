/**
 * Files that are replaced whole: the new one is written beside its place under another name, flushed to the disk, and
 * renamed. A process that is killed meanwhile leaves the old file, and a temporary one that the next save removes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expectedType } from '../validate';

/** Bytes of one read or write; large enough for the disk's full speed, small enough to be done in milliseconds. */
const chunkBytes = 4 << 20;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission was denied',
  EPERM: 'permission was denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENAMETOOLONG: 'the name is too long',
};

/** Runs an action; what the operating system refuses becomes a sentence with the file's name. */
export async function inWords<T>(verb: 'read' | 'write', file: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw cause;
    throw new Error(`Could not ${verb} "${file}": ${reasons[code] ?? message} (${code}).`, { cause });
  }
}

export function checkPath(file: unknown): asserts file is string {
  if (typeof file !== 'string' || file === '' || file.includes('\0') || /[/\\]$/.test(file))
    throw expectedType('the path', 'the name of a file', file);
}

/** Devices and pipes block or swallow what is written, and renaming onto one replaces it. */
export function refuseOtherKinds(file: string, is: { isFile(): boolean; isDirectory(): boolean }): void {
  if (is.isFile()) return;
  const kind = is.isDirectory() ? 'a folder' : 'neither a file nor a folder';
  throw new TypeError(`Expected "${file}" to be a file but it is ${kind}.`);
}

/** Writes all of a view, chunk by chunk, so that the event loop and other file operations get their turn. */
export async function writeAll(handle: FileHandle, view: ArrayBufferView): Promise<void> {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(chunkBytes, bytes.length - done));
    done += bytesWritten;
  }
}

/** Fills a view with the bytes from `position` on; returns how many there were. */
export async function readAll(handle: FileHandle, view: ArrayBufferView, position: number): Promise<number> {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(chunkBytes, bytes.length - done);
    const { bytesRead } = await handle.read(bytes, done, length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

const host = createHash('sha256').update(os.hostname()).digest('hex').slice(0, 8);
const temporaryName = new RegExp(`^\\.fused-optim-${host}-(\\d+)-[0-9a-f]{12}\\.tmp$`);

/** Removes what dead processes of this host left in a folder. Nothing depends on it, so it never fails. */
async function removeStale(directory: string): Promise<void> {
  const names = await readdir(directory).catch((): string[] => []);
  for (const name of names) {
    const pid = temporaryName.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await rm(path.join(directory, name), { force: true }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0); // sends nothing
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Makes the rename itself last. Windows and some network file systems have no such call for folders. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

async function replace(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  // A link stays one: what it points to is replaced.
  const target = await realpath(file).catch(() => file);
  const existing = await stat(target).catch(() => undefined);
  if (existing) refuseOtherKinds(file, existing);
  const directory = path.dirname(target);
  await removeStale(directory);
  const unique = `${host}-${process.pid}-${randomBytes(6).toString('hex')}`;
  const temporary = path.join(directory, `.fused-optim-${unique}.tmp`);
  try {
    const handle = await open(temporary, 'wx');
    try {
      if (existing) await handle.chmod(existing.mode & 0o777);
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncDirectory(directory);
}

/** The last save of each file that is under way. */
const underWay = new Map<string, Promise<void>>();

/** Replaces a file. Saves of one process to one file are done one after another, so that the last call wins. */
export async function replaceFile(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const key = path.resolve(file);
  const before = underWay.get(key) ?? Promise.resolve();
  const mine = before.then(() => inWords('write', file, () => replace(key, write)));
  const settled = mine.catch(() => undefined);
  underWay.set(key, settled);
  try {
    await mine;
  } finally {
    if (underWay.get(key) === settled) underWay.delete(key);
  }
}
