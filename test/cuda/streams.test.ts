import { cuda } from 'fused-optim';
import { describeCuda, describeStandIn, standIn } from '../helpers/cuda';

const ones = (length: number): Float32Array => new Float32Array(length).fill(1);

describeCuda('a stream', () => {
  test('is made, used, and destroyed', async () => {
    const stream = cuda.stream();
    expect(stream).toMatchObject({ device: 0, own: true, alive: true });
    expect(stream.handle).toBeGreaterThan(0n);
    using tensor = cuda.from(ones(3), { stream });
    expect(tensor.download(undefined, { stream })).toEqual(ones(3));
    stream.synchronize();
    await stream.synchronizeAsync();
    stream.destroy();
    stream.destroy();
    expect(stream.alive).toBe(false);
  });

  test('that was destroyed is refused in words', async () => {
    const stream = cuda.stream();
    using tensor = cuda.from(ones(3));
    stream.destroy();
    const message = (what: string) =>
      `Expected the stream of ${what} to be alive but it was destroyed (handle 0x${stream.handle.toString(16)}).`;
    expect(() => stream.synchronize()).toThrow(message('synchronize()'));
    expect(() => tensor.upload(ones(3), { stream })).toThrow(message('upload()'));
    expect(() => tensor.download(undefined, { stream })).toThrow(message('download()'));
    await expect(tensor.uploadAsync(ones(3), { stream })).rejects.toThrow(message('uploadAsync()'));
    await expect(tensor.downloadAsync(undefined, { stream })).rejects.toThrow(message('downloadAsync()'));
    await expect(stream.synchronizeAsync()).rejects.toThrow(message('synchronizeAsync()'));
    expect(() => cuda.event().record(stream)).toThrow(message('record()'));
    expect(() => cuda.event().wait(stream)).toThrow(message('wait()'));
    expect(() => cuda.from(ones(3), { stream })).toThrow(message('cuda.from()'));
    expect(() => tensor.toDLPack({ stream })).toThrow(message('toDLPack()'));
  });

  test('of someone else is used by its handle', () => {
    const theirs = cuda.stream();
    {
      using ours = cuda.stream({ handle: theirs.handle });
      expect(ours).toMatchObject({ handle: theirs.handle, own: false, alive: true });
      using tensor = cuda.from(ones(3), { stream: ours });
      expect(tensor.download(undefined, { stream: ours })).toEqual(ones(3));
    }
    expect(theirs.alive).toBe(true);
    theirs.synchronize();
  });

  test('may be the legacy default stream', () => {
    using stream = cuda.stream({ handle: 0n });
    using tensor = cuda.from(ones(3), { stream });
    expect(tensor.download(undefined, { stream })).toEqual(ones(3));
  });

  test('of the wrong kind is refused', () => {
    expect(() => cuda.stream({ handle: 3 as never })).toThrow(
      'Expected handle of cuda.stream() to be a bigint but received 3 of type number.',
    );
    expect(() => cuda.stream({ handle: -1n })).toThrow('to be an address but received -1.');
    expect(() => cuda.stream({ device: 99 })).toThrow('Expected device of cuda.stream() to be');
    expect(() => cuda.stream({ priority: 1 } as never)).toThrow(
      'Unknown option "priority" for cuda.stream()',
    );
    using tensor = cuda.from(ones(3));
    expect(() => tensor.upload(ones(3), { stream: {} as never })).toThrow(
      'Expected the stream of upload() to be a CudaStream but received an object.',
    );
    expect(() => tensor.upload(ones(3), { stream: 0n as never })).toThrow(
      'to be a CudaStream but received 0',
    );
  });

  test('of another device is refused', () => {
    if (cuda.devices().length < 2)
      return void process.stderr.write('Not tested: two devices (there is one).\n');
    using stream = cuda.stream({ device: 1 });
    using tensor = cuda.from(ones(3));
    expect(() => tensor.upload(ones(3), { stream })).toThrow(
      'Expected the stream of upload() to be on device 0 but it is on device 1.',
    );
    expect(() => cuda.event().record(stream)).toThrow(
      'Expected the stream of record() to be on device 0, as the event is, but it is on device 1.',
    );
  });
});

describeCuda('an event', () => {
  test('is done when what came before it is done', () => {
    using stream = cuda.stream();
    const event = stream.record();
    event.synchronize();
    expect(event.done).toBe(true);
  });

  test('tells the time between two places', () => {
    using stream = cuda.stream();
    using tensor = cuda.tensor([1 << 20]);
    const begin = stream.record();
    tensor.upload(ones(1 << 20), { stream });
    const end = cuda.event().record(stream);
    expect(begin.elapsed(end)).toBeGreaterThanOrEqual(0);
  });

  test('that has no time is refused', () => {
    const event = cuda.event();
    const timeless = cuda.event({ timing: false }).record();
    const recorded = cuda.event().record();
    expect(() => event.elapsed(recorded)).toThrow(
      'Expected the event of elapsed() to be recorded but it is not.',
    );
    expect(() => recorded.elapsed(event)).toThrow(
      'Expected the end of elapsed() to be recorded but it is not.',
    );
    expect(() => recorded.elapsed(timeless)).toThrow(
      'Expected the end of elapsed() to take time but it has timing: false.',
    );
    expect(() => recorded.elapsed({} as never)).toThrow(
      'Expected the end of elapsed() to be a CudaEvent but received an object.',
    );
    expect(() => cuda.event({ timing: 1 as never })).toThrow(
      'Expected timing of cuda.event() to be a boolean',
    );
  });
});

describeStandIn('the order of streams', () => {
  beforeEach(() => standIn.hold(true));
  afterEach(() => standIn.hold(false));

  test('is that of events', async () => {
    const [first, second] = [cuda.stream(), cuda.stream()];
    using tensor = cuda.tensor([1 << 10]);
    const uploaded = tensor.uploadAsync(ones(1 << 10), { stream: first });
    second.wait(first.record());
    // Only because of the event does the second stream see what the first has queued.
    const down = await tensor.downloadAsync(undefined, { stream: second });
    expect(down).toEqual(ones(1 << 10));
    await uploaded;
  });

  test('is not that of calls, without one', () => {
    const [first, second] = [cuda.stream(), cuda.stream()];
    using tensor = cuda.tensor([8]);
    const uploaded = tensor.uploadAsync(ones(8), { stream: first });
    const [early, other] = [first.record(), second.record()];
    other.synchronize();
    expect([early.done, other.done]).toEqual([false, true]);
    cuda.synchronize();
    expect(early.done).toBe(true);
    return uploaded;
  });

  test('is waited for by synchronize(), on all streams of the device', () => {
    const streams = [cuda.stream(), cuda.stream(), cuda.stream({ handle: 0n })];
    using tensor = cuda.tensor([8]);
    const uploads = streams.map((stream) => tensor.uploadAsync(ones(8), { stream }));
    const events = streams.map((stream) => stream.record());
    cuda.synchronize();
    expect(events.map(({ done }) => done)).toEqual([true, true, true]);
    return Promise.all(uploads);
  });
});

describeStandIn("a caller's stream", () => {
  test('that its owner has destroyed is refused in words', () => {
    const handle = standIn.createStream(0);
    const stream = cuda.stream({ handle });
    using tensor = cuda.from(ones(3), { stream });
    standIn.destroyStream(0, handle);
    const message = 'to be alive but its owner has destroyed it (handle 0x' + handle.toString(16) + ').';
    expect(stream.alive).toBe(false);
    expect(() => tensor.upload(ones(3), { stream })).toThrow(message);
    expect(() => cuda.stream({ handle })).toThrow('Expected the stream of cuda.stream() ' + message);
    // What is freed now waits for the streams that are left.
    tensor.free();
    cuda.synchronize();
  });
});
