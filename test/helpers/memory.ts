/** Kinds of memory that the types of this language level or of Node do not know. */

type Resizable = ArrayBuffer & { resize(bytes: number): void };

/** An ArrayBuffer that can be resized. */
export function resizable(bytes: number, maxByteLength: number): Resizable {
  const Constructor = ArrayBuffer as unknown as new (bytes: number, options: object) => Resizable;
  return new Constructor(bytes, { maxByteLength });
}

interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** Memory of a WebAssembly program; its buffer is another one after it has grown. */
export function wasmMemory(pages: { initial: number; maximum: number; shared?: boolean }): WasmMemory {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { Memory: new (pages: object) => WasmMemory };
  };
  return new WebAssembly.Memory(pages);
}

/** Takes an array's buffer away, as posting it to another thread does. */
export function transfer({ buffer }: Float32Array): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
}
