import { expectedRange, expectedType, readOptions } from '../validate';
import { deviceIndex, usable } from './device';
import type { NativeEvent, NativeStream } from './native';

export interface CudaStreamOptions {
  /** @default 0 */
  readonly device?: number | undefined;
  /**
   * A `cudaStream_t` of someone else, who keeps it alive and destroys it; 0n is the legacy default stream. Without it a
   * stream is made, which does not wait for the legacy default stream.
   */
  readonly handle?: bigint | undefined;
}

export interface CudaEventOptions {
  /** @default 0 */
  readonly device?: number | undefined;
  /** Whether it takes the time for `elapsed()`. @default true */
  readonly timing?: boolean | undefined;
}

let nativeOf: (stream: CudaStream) => NativeStream | undefined;
let eventOf: (event: CudaEvent) => { native: NativeEvent; recorded: boolean; timing: boolean };
let isStream: (value: object) => value is CudaStream;

/** An order in which a device does what is queued. Made with `cuda.stream()`. */
export class CudaStream implements Disposable {
  readonly device: number;
  /** The `cudaStream_t`. */
  readonly handle: bigint;
  /** False for a caller's own handle, which `destroy()` only lets go of. */
  readonly own: boolean;
  #native: NativeStream | undefined;

  /** @internal */
  constructor(native: NativeStream, device: number, own: boolean) {
    this.#native = native;
    this.device = device;
    this.handle = native.handle();
    this.own = own;
  }

  static {
    nativeOf = (stream) => stream.#native;
    isStream = (value): value is CudaStream => #native in value;
  }

  /** False after `destroy()`, or when whose handle it is has destroyed it. */
  get alive(): boolean {
    return this.#native?.alive() ?? false;
  }

  /** Waits until all that was queued is done. */
  synchronize(): void {
    liveStream(this, 'synchronize()').synchronize();
  }

  /** Resolves when all that was queued by now is done; the event loop goes on meanwhile. */
  async synchronizeAsync(): Promise<void> {
    await liveStream(this, 'synchronizeAsync()').synchronizeAsync();
  }

  /** Marks this place in the stream with an event, a new one if none is given. */
  record(event: CudaEvent = new CudaEvent(this.device, true)): CudaEvent {
    return event.record(this);
  }

  /** Makes what is queued here from now on wait for an event. */
  wait(event: CudaEvent): this {
    event.wait(this);
    return this;
  }

  /** Lets go of the stream; what was queued is still done. */
  destroy(): void {
    this.#native?.destroy();
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** A place in a stream that other streams and this process can wait for. Made with `cuda.event()`. */
export class CudaEvent {
  readonly device: number;
  readonly timing: boolean;
  readonly #native: NativeEvent;
  #recorded = false;

  /** @internal */
  constructor(device: number, timing: boolean) {
    this.#native = new (usable('an event').Event)(device, timing);
    this.device = device;
    this.timing = timing;
  }

  static {
    eventOf = (event) => ({ native: event.#native, recorded: event.#recorded, timing: event.timing });
  }

  /** Marks the end of what is queued on the stream by now; by default the one that `cuda` uses unasked. */
  record(stream: CudaStream = defaultStream(this.device)): this {
    const native = liveStream(stream, 'record()');
    if (stream.device !== this.device) {
      throw new RangeError(
        `Expected the stream of record() to be on device ${this.device}, as the event is, but it is on device ${stream.device}.`,
      );
    }
    this.#native.record(native);
    this.#recorded = true;
    return this;
  }

  /** Makes what is queued on the stream from now on wait for the event. */
  wait(stream: CudaStream = defaultStream(this.device)): this {
    this.#native.wait(liveStream(stream, 'wait()'));
    return this;
  }

  /** Whether what was queued before it is done. Also true for an event that was never recorded. */
  get done(): boolean {
    return this.#native.done();
  }

  /** Waits until what was queued before it is done. */
  synchronize(): void {
    this.#native.synchronize();
  }

  /** Milliseconds between this event and a later one; waits for both. */
  elapsed(end: CudaEvent): number {
    if (!(end instanceof CudaEvent)) throw expectedType('the end of elapsed()', 'a CudaEvent', end);
    for (const [event, name] of [
      [this, 'the event'],
      [end, 'the end'],
    ] as const) {
      const { recorded, timing } = eventOf(event);
      if (!timing)
        throw new TypeError(`Expected ${name} of elapsed() to take time but it has timing: false.`);
      if (!recorded) throw new TypeError(`Expected ${name} of elapsed() to be recorded but it is not.`);
    }
    this.synchronize();
    end.synchronize();
    return this.#native.elapsed(eventOf(end).native);
  }
}

/** The native stream; an error in words where it was destroyed or is none. */
export function liveStream(stream: unknown, what: string): NativeStream {
  if (typeof stream !== 'object' || stream === null || !isStream(stream)) {
    throw expectedType(`the stream of ${what}`, 'a CudaStream', stream);
  }
  const native = nativeOf(stream);
  if (native?.alive()) return native;
  const who = native ? 'its owner has destroyed it' : 'it was destroyed';
  throw new Error(
    `Expected the stream of ${what} to be alive but ${who} (handle 0x${stream.handle.toString(16)}).`,
  );
}

const defaults = new Map<number, CudaStream>();

/** The stream that everything uses unless told otherwise: one of our own for each device and thread. */
export function defaultStream(device: number): CudaStream {
  let stream = defaults.get(device);
  if (!stream?.alive) {
    const { Stream } = usable('a stream');
    defaults.set(device, (stream = new CudaStream(new Stream(device), device, true)));
  }
  return stream;
}

/** The stream of an option, on the device it must be on. */
export function streamFor(option: unknown, device: number, what: string): NativeStream {
  if (option === undefined) return liveStream(defaultStream(device), what);
  const native = liveStream(option, what);
  const other = (option as CudaStream).device;
  if (other === device) return native;
  throw new RangeError(
    `Expected the stream of ${what} to be on device ${device} but it is on device ${other}.`,
  );
}

/** Makes a stream, or takes someone else's. */
export function makeStream(options?: CudaStreamOptions): CudaStream {
  const what = 'cuda.stream()';
  const { device, handle } = readOptions(options, ['device', 'handle'], what);
  const index = deviceIndex(device, what);
  const { Stream } = usable(what);
  if (handle === undefined) return new CudaStream(new Stream(index), index, true);
  if (typeof handle !== 'bigint') throw expectedType(`handle of ${what}`, 'a bigint', handle);
  if (BigInt.asUintN(64, handle) !== handle) {
    throw expectedRange(`handle of ${what}`, 'an address', String(handle));
  }
  const stream = new CudaStream(new Stream(index, handle), index, false);
  liveStream(stream, what);
  return stream;
}

export function makeEvent(options?: CudaEventOptions): CudaEvent {
  const what = 'cuda.event()';
  const { device, timing = true } = readOptions(options, ['device', 'timing'], what);
  if (typeof timing !== 'boolean') throw expectedType(`timing of ${what}`, 'a boolean', timing);
  return new CudaEvent(deviceIndex(device, what), timing);
}

/** Waits for everything queued on a device by this process, on streams that `cuda` has made or was given. */
export function synchronize(device?: number): void {
  const what = 'cuda.synchronize()';
  usable(what).synchronize(deviceIndex(device, what));
}
