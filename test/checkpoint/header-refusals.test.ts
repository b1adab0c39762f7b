import fs from 'node:fs';
import path from 'node:path';
import { readCheckpointInfo, readSafetensors } from 'fused-optim';
import { rejection, safetensorsFile } from '../helpers/files';
import { refused } from '../helpers/refused';
import { scratchDirectory } from '../house/scratch';

const directory = scratchDirectory();
const file = path.join(directory, 'f.safetensors');

const w = (changes: object = {}, dtype = 'F32'): object => ({
  w: { dtype, shape: [2], data_offsets: [0, 8], ...changes },
});
const two = (first: number[], second: number[]): object => ({
  a: { dtype: 'F32', shape: [2], data_offsets: first },
  b: { dtype: 'F32', shape: [2], data_offsets: second },
});
const eight = new Uint8Array(8);
const sixteen = new Uint8Array(16);
const length = (bytes: bigint): Buffer => {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(bytes);
  return prefix;
};

describe('a file that is no safetensors file is refused:', () => {
  test.each<[string, Buffer, string]>([
    ['empty', Buffer.alloc(0), 'it is cut short: it has 0 bytes'],
    ['less than the length of the header', Buffer.alloc(7), 'it is cut short: it has 7 bytes'],
    ['no header', Buffer.alloc(8), 'its header is not JSON'],
    [
      'a header behind the end',
      safetensorsFile(w(), eight).subarray(0, 40),
      'it is cut short: the header would be 54 bytes long, the file has 40',
    ],
    [
      'a header one byte behind the end',
      Buffer.concat([length(3n), Buffer.from('{}')]),
      'it is cut short: the header would be 3 bytes long, the file has 10',
    ],
    [
      'a giant header',
      Buffer.concat([length(100_000_001n), sixteen]),
      'its header would be 100000001 bytes long; the limit is 100000000',
    ],
    [
      'a header of 2^63 bytes',
      Buffer.concat([length(2n ** 63n), sixteen]),
      'its header would be 9223372036854775808 bytes long; the limit is 100000000',
    ],
    [
      'a header that wraps around',
      Buffer.concat([length(2n ** 64n - 8n), sixteen]),
      'its header would be 18446744073709551608 bytes long; the limit is 100000000',
    ],
    [
      'bytes that are not UTF-8',
      safetensorsFile(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])),
      'its header is not UTF-8',
    ],
    ['a byte order mark', safetensorsFile(Buffer.from('\ufeff{}')), 'its header is not JSON'],
    ['text', safetensorsFile('{"w":'), 'its header is not JSON'],
    ['something after the header', safetensorsFile('{}}'), 'its header is not JSON'],
    ['space before the header', safetensorsFile(' {}'), 'its header is not a JSON object'],
    ['a list', safetensorsFile('[]'), 'its header is not a JSON object'],
    ['null', safetensorsFile('null'), 'its header is not a JSON object'],
    ['an entry that is no object', safetensorsFile({ w: [1] }), '"w" in its header is not an object'],
    ['an entry of null', safetensorsFile({ w: null }), '"w" in its header is not an object'],
    [
      'metadata of numbers',
      safetensorsFile({ __metadata__: { a: 1 } }),
      '"a" in its metadata is not a string',
    ],
    [
      'metadata that is no object',
      safetensorsFile({ __metadata__: 'a' }),
      '"__metadata__" in its header is not an object',
    ],
    [
      'a tensor twice',
      safetensorsFile(
        '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        eight,
      ),
      'its header has a name twice',
    ],
    [
      'a tensor twice, once escaped',
      safetensorsFile(
        '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0077" \n:{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        eight,
      ),
      'its header has a name twice',
    ],
    [
      'a dtype twice',
      safetensorsFile('{"w":{"dtype":"F16","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight),
      'its header has a name twice',
    ],
    [
      'metadata twice',
      safetensorsFile('{"__metadata__":{},"__metadata__":{}}'),
      'its header has a name twice',
    ],
    [
      'a string of metadata twice',
      safetensorsFile('{"__metadata__":{"a\\"":"\\":","a\\"":"b"}}'),
      'its header has a name twice',
    ],
    [
      'no dtype',
      safetensorsFile(w({ dtype: undefined }), eight),
      'tensor "w" has the unknown dtype undefined',
    ],
    ['an unknown dtype', safetensorsFile(w({}, 'F31'), eight), 'tensor "w" has the unknown dtype "F31"'],
    [
      'a dtype that objects have',
      safetensorsFile(w({}, 'constructor'), eight),
      'tensor "w" has the unknown dtype "constructor"',
    ],
    [
      'a dtype of a number',
      safetensorsFile(w({ dtype: 32 }), eight),
      'tensor "w" has the unknown dtype 32 of type number',
    ],
    [
      'another field',
      safetensorsFile(w({ strides: [1] }), eight),
      'tensor "w" has the unknown field "strides"',
    ],
    [
      'no shape',
      safetensorsFile(w({ shape: undefined }), eight),
      'tensor "w" has the shape undefined, which is not an array of integers >= 0',
    ],
    [
      'a negative size',
      safetensorsFile(w({ shape: [-1, -2] }), eight),
      'tensor "w" has the shape [-1, -2], which is not an array of integers >= 0',
    ],
    [
      'half a size',
      safetensorsFile(w({ shape: [0.5, 4] }), eight),
      'tensor "w" has the shape [0.5, 4], which is not an array of integers >= 0',
    ],
    [
      'a size that is no number',
      safetensorsFile(w({ shape: ['2'] }), eight),
      'tensor "w" has the shape an array, which is not an array of integers >= 0',
    ],
    [
      'sizes of sizes',
      safetensorsFile(
        `{"w":{"dtype":"F32","shape":${'['.repeat(1e5)}${']'.repeat(1e5)},"data_offsets":[0,8]}}`,
        eight,
      ),
      'tensor "w" has the shape an array, which is not an array of integers >= 0',
    ],
    [
      'a size beyond 2^53',
      safetensorsFile(w({ shape: [2 ** 60] }), eight),
      'tensor "w" has the shape [1152921504606847000], which is not an array of integers >= 0',
    ],
    [
      'a shape that overflows',
      safetensorsFile(w({ shape: [2 ** 31, 2 ** 31, 4] }), eight),
      'tensor "w" has the shape [2147483648, 2147483648, 4], which is too large',
    ],
    [
      'a shape that overflows to infinity',
      safetensorsFile(w({ shape: Array(40).fill(2 ** 40) }), eight),
      `tensor "w" has the shape [${Array(40)
        .fill(2 ** 40)
        .join(', ')}], which is too large`,
    ],
    [
      'no offsets',
      safetensorsFile(w({ data_offsets: undefined }), eight),
      'tensor "w" has the offsets undefined, which are not two integers >= 0',
    ],
    [
      'one offset',
      safetensorsFile(w({ data_offsets: [0] }), eight),
      'tensor "w" has the offsets [0], which are not two integers >= 0',
    ],
    [
      'a negative offset',
      safetensorsFile(w({ data_offsets: [-8, 0] }), eight),
      'tensor "w" has the offsets [-8, 0], which are not two integers >= 0',
    ],
    [
      'half an offset',
      safetensorsFile(w({ data_offsets: [0.5, 8.5] }), eight),
      'tensor "w" has the offsets [0.5, 8.5], which are not two integers >= 0',
    ],
    [
      'offsets in the wrong order',
      safetensorsFile(w({ data_offsets: [8, 0] }), eight),
      'tensor "w" has -8 bytes where F32 [2] takes 8',
    ],
    [
      'fewer bytes than the shape',
      safetensorsFile(w({ data_offsets: [0, 7] }), eight),
      'tensor "w" has 7 bytes where F32 [2] takes 8',
    ],
    [
      'fewer bytes than the dtype',
      safetensorsFile(w({}, 'F64'), eight),
      'tensor "w" has 8 bytes where F64 [2] takes 16',
    ],
    [
      'tensors on each other',
      safetensorsFile(two([0, 8], [4, 12]), sixteen),
      'tensor "b" overlaps the one before: it begins at byte 4, expected 8',
    ],
    [
      'tensors at one place',
      safetensorsFile(two([0, 8], [0, 8]), eight),
      'tensor "b" overlaps the one before: it begins at byte 0, expected 8',
    ],
    [
      'a hole at the start',
      safetensorsFile(w({ data_offsets: [8, 16] }), sixteen),
      'tensor "w" leaves a hole before it: it begins at byte 8, expected 0',
    ],
    [
      'a hole between tensors',
      safetensorsFile(two([0, 8], [9, 17]), new Uint8Array(17)),
      'tensor "b" leaves a hole before it: it begins at byte 9, expected 8',
    ],
    [
      'data cut short',
      safetensorsFile(w(), eight.subarray(1)),
      'it is cut short: its tensors take 8 bytes and 7 are there',
    ],
    [
      'data out of range',
      safetensorsFile(two([0, 8], [8, 16]), eight),
      'it is cut short: its tensors take 16 bytes and 8 are there',
    ],
    ['more data than tensors', safetensorsFile(w(), sixteen), 'it has 8 bytes after its last tensor'],
    ['data of no tensor', safetensorsFile({}, eight), 'it has 8 bytes after its last tensor'],
  ])('%s', async (_, bytes, reason) => {
    fs.writeFileSync(file, bytes);
    const expected = `Expected "/f.safetensors" to be a safetensors file but ${reason}.`;
    expect(await refused(file)).toBe(expected);
    for (const read of [readSafetensors, readCheckpointInfo])
      expect((await rejection(read(file))).replace(directory, '')).toBe(expected);
  });
});
