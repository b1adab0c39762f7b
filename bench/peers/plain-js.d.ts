export type Loop = (p: Float32Array, g: Float32Array, states: Float32Array[], t: number) => void;

export const loops: Readonly<Record<string, Loop>>;
