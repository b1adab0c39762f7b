import fs from 'node:fs';
import path from 'node:path';
import { Adam, AdamW, readCheckpointInfo } from 'fused-optim';
import { rejection, safetensorsFile } from '../helpers/files';
import { refused, tensors } from '../helpers/refused';
import { scratchDirectory } from '../house/scratch';

const directory = scratchDirectory();
const file = path.join(directory, 'f.safetensors');

/** Changes metadata or entries of a saved checkpoint of the same optimizer. */
async function edited(edit: (header: Record<string, Record<string, unknown>>) => void): Promise<void> {
  const optimizer = new Adam(tensors());
  optimizer.step();
  await optimizer.save(file);
  const bytes = fs.readFileSync(file);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, end).toString()) as Record<string, Record<string, unknown>>;
  edit(header);
  fs.writeFileSync(file, safetensorsFile(header, bytes.subarray(end)));
}

const editedField = (field: string, edit: (value: Record<string, Record<string, unknown>>) => void) =>
  edited(({ __metadata__: metadata }) => {
    const value = JSON.parse(metadata![field] as string) as Record<string, Record<string, unknown>>;
    edit(value);
    metadata![field] = JSON.stringify(value);
  });

describe('a safetensors file that is no checkpoint is refused:', () => {
  const file1 = 'Expected "/f.safetensors" to be a checkpoint of fused-optim but ';
  const setMetadata = (values: object) => () =>
    edited(({ __metadata__: metadata }) => void Object.assign(metadata!, values));
  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`;

  test.each<[string, () => Promise<void>, string]>([
    [
      'no metadata',
      () =>
        edited((header) => {
          delete header.__metadata__;
        }),
      `${file1}its metadata is not that of one.`,
    ],
    ['metadata of others', setMetadata({ format: 'pt' }), `${file1}its metadata is not that of one.`],
    ['no schema', setMetadata({ schema: undefined }), `${file1}it has the schema undefined, expected "1".`],
    [
      'a newer schema',
      setMetadata({ schema: '2' }),
      `${file1}it has the schema "2", expected "1": a newer version of fused-optim wrote it.`,
    ],
    [
      'a schema that is no number',
      setMetadata({ schema: 'x' }),
      `${file1}it has the schema "x", expected "1".`,
    ],
    ['metadata that is no JSON', setMetadata({ state: '{' }), `${file1}"state" in its metadata is not JSON.`],
    ['metadata too deep', setMetadata({ extra: deep }), `${file1}its metadata is more than 64 levels deep.`],
    [
      'an unknown mark',
      setMetadata({ extra: '{"$date":1}' }),
      `${file1}its metadata has a malformed "$date".`,
    ],
    [
      'a mark with a wrong value',
      setMetadata({ extra: '{"$value":"nan"}' }),
      `${file1}its metadata has a malformed "$value".`,
    ],
    [
      'a mark beside other names',
      setMetadata({ extra: '{"a":1,"$value":"NaN"}' }),
      `${file1}its metadata has a malformed "$value".`,
    ],
    [
      'entries that are none',
      setMetadata({ extra: '{"$entries":[["a"]]}' }),
      `${file1}its metadata has a malformed "$entries".`,
    ],
    ['a tensor that is not there', setMetadata({ extra: '{"$tensor":"x"}' }), `${file1}"x" is not in it.`],
    [
      'a tensor used twice',
      setMetadata({ extra: '{"$tensor":"w.exp_avg"}' }),
      `${file1}"w.exp_avg" is used twice in it.`,
    ],
    [
      'a tensor that nothing names',
      () =>
        editedField('state', ({ w }) => {
          delete w!.expAvg;
        }),
      `${file1}its metadata does not say what "w.exp_avg" is.`,
    ],
    [
      'another element type',
      () => edited((header) => Object.assign(header['w.exp_avg']!, { dtype: 'BF16', shape: [2, 6] })),
      `${file1}"w.exp_avg" has the dtype BF16, which states do not have.`,
    ],
    [
      'a turned shape',
      () => edited((header) => void (header['w.exp_avg']!.shape = [3, 2])),
      `${file1}"w.exp_avg" has the shape [3, 2], expected [2, 3].`,
    ],
    [
      'another shape of the parameter',
      () => editedField('state', ({ w }) => void (w!.shape = [3, 2])),
      `${file1}"w.exp_avg" has the shape [2, 3], expected [3, 2].`,
    ],
    [
      'integers',
      () => edited((header) => void (header['w.exp_avg']!.dtype = 'I32')),
      'Expected expAvg of "w" to be a Float32Array but received a Int32Array.',
    ],
    [
      'no version',
      setMetadata({ version: undefined }),
      'Expected a state dict of version 1 but received undefined.',
    ],
    [
      'no class',
      setMetadata({ algorithm: undefined }),
      'Expected a state dict of Adam but received one of undefined.',
    ],
    ['no state', setMetadata({ state: undefined }), `${file1}its metadata does not say what "w.exp_avg" is.`],
    [
      'a tensor for a parameter',
      () =>
        editedField('state', (state) => {
          state.w = { $tensor: 'w.exp_avg' };
          state.b = { ...state.b, other: { $tensor: 'w.exp_avg_sq' } };
        }),
      '"w" has shape undefined, expected [2, 3]',
    ],
    [
      'a state of text',
      setMetadata({ state: '"x"' }),
      `${file1}its metadata does not say what "w.exp_avg" is.`,
    ],
    [
      'a step of -1',
      setMetadata({ step: '-1' }),
      'Expected step of the state dict to be an integer >= 0 but received -1 of type number.',
    ],
    [
      'a state of null',
      () => editedField('state', (state) => void ((state as Record<string, unknown>).extra = null)),
      'Expected a state dict with the tensors of this Adam but it differs: extra "extra".',
    ],
    [
      'a step count of NaN',
      () => editedField('state', ({ w }) => void (w!.step = { $value: 'NaN' })),
      'Expected step of "w" to be an integer >= 0 but received NaN of type number.',
    ],
    [
      'options out of range',
      () => editedField('paramGroups', (groups) => void (groups[0]!.lr = -1)),
      'Expected lr of Adam to be a finite number >= 0 but received -1.',
    ],
    [
      'groups of null',
      setMetadata({ paramGroups: '[null]' }),
      'Expected params of group 0 of the state dict to be an array of names but received undefined.',
    ],
  ])('%s', async (_, write, message) => {
    await write();
    expect(await refused(file)).toContain(message);
  });

  test('unless nothing was changed', async () => {
    await edited(() => undefined);
    await new Adam(tensors()).load(file);
  });
});

test('readCheckpointInfo() refuses metadata without the class, the step or the groups', async () => {
  for (const name of ['algorithm', 'step', 'paramGroups']) {
    await edited(({ __metadata__: metadata }) => Object.assign(metadata!, { [name]: undefined }));
    expect(await rejection(readCheckpointInfo(file))).toBe(
      `Expected "${file}" to be a checkpoint of fused-optim but its metadata lacks the class, the step or the groups.`,
    );
  }
});

describe('a checkpoint of another optimizer is refused:', () => {
  const save = async (optimizer: Adam | AdamW): Promise<void> => {
    optimizer.step();
    await optimizer.save(file);
  };
  test.each<[string, () => Promise<void>, string]>([
    [
      'another class',
      () => save(new AdamW(tensors())),
      'Expected a state dict of Adam but received one of "AdamW".',
    ],
    [
      'other names',
      () => save(new Adam(tensors(['w', 'bias']))),
      'Expected a state dict with the tensors of this Adam but it differs: missing "b"; extra "bias".',
    ],
    [
      'other shapes',
      () => save(new Adam(tensors(['w', 'b'], [6]))),
      'Expected a state dict with the tensors of this Adam but it differs: "w" has shape [6], expected [2, 3]; "b" has shape [6], expected [2, 3].',
    ],
    [
      'other groups',
      () => save(new Adam(tensors().map((param) => ({ params: [param] })))),
      'Expected 1 parameter groups in the state dict but received 2.',
    ],
  ])('%s', async (_, write, message) => {
    await write();
    expect(await refused(file)).toBe(message);
  });
});

describe('load() and save() refuse', () => {
  test.each<[string, unknown, string]>([
    ['no path', undefined, 'undefined'],
    ['an empty path', '', '""'],
    ['a number', 1, '1 of type number'],
    ['a path of a folder', 'x/', '"x/"'],
    ['a null character', 'a\0b', '"a\\u0000b"'],
  ])('%s', async (_, given, shown) => {
    const optimizer = new Adam(tensors());
    for (const call of [optimizer.save(given as string), optimizer.load(given as string)]) {
      const message = await rejection(call);
      const received = /^Expected the path to be the name of a file but received (.*)\.$/s.exec(message)?.[1];
      expect(received).toEqual(shown);
    }
  });

  test('a folder, a device, and what is not there', async () => {
    const optimizer = new Adam(tensors());
    optimizer.step();
    const folder = `Expected "${directory}" to be a file but it is a folder.`;
    expect(await rejection(optimizer.load(directory))).toBe(folder);
    expect(await rejection(optimizer.save(directory))).toBe(folder);
    const absent = path.join(directory, 'absent', 'file');
    const none = `"${absent}": there is no such file or folder (ENOENT).`;
    expect(await rejection(optimizer.load(absent))).toBe(`Could not read ${none}`);
    expect(await rejection(optimizer.save(absent))).toBe(`Could not write ${none}`);
    if (process.platform === 'win32') return;
    const device = 'Expected "/dev/null" to be a file but it is neither a file nor a folder.';
    expect(await rejection(optimizer.load('/dev/null'))).toBe(device);
    expect(await rejection(optimizer.save('/dev/null'))).toBe(device);
    expect(fs.statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test('when the optimizer was disposed, also while the file was read', async () => {
    const optimizer = new Adam(tensors());
    optimizer.step();
    await optimizer.save(file);
    const loading = optimizer.load(file);
    optimizer.dispose();
    expect(await rejection(loading)).toBe('Adam was disposed: load() is no longer possible.');
    expect(await rejection(optimizer.load(file))).toBe('Adam was disposed: load() is no longer possible.');
    expect(await rejection(optimizer.save(file))).toBe('Adam was disposed: save() is no longer possible.');
  });

  test('while a step is in flight, also one that began while the file was read', async () => {
    const size = 1 << 20;
    const big = { name: 'w', data: new Float32Array(size), grad: new Float32Array(size).fill(1) };
    const optimizer = new Adam([big]);
    const stepping = optimizer.stepAsync();
    expect(await rejection(optimizer.save(file))).toBe(
      'stepAsync() of Adam is in flight: await it before save().',
    );
    await stepping;
    await optimizer.save(file);
    // Steps follow each other without a pause, so that one is in flight whenever the file has been read.
    let message: string | undefined;
    const loading = rejection(optimizer.load(file)).then((text) => (message = text));
    while (message === undefined) await optimizer.stepAsync();
    await loading;
    expect(message).toBe('stepAsync() of Adam is in flight: await it before load().');
  });
});
