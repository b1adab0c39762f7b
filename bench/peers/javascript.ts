import type { Peer, PeerGroup } from './peer';
import { loops } from './plain-js';

/** Larger sets would only take longer to say the same. */
const mostParameters = 10_000_000;

const plainLoop: Peer = {
  name: 'plain JavaScript',
  open({ rule, set, tensors, threads }) {
    const loop = loops[rule.name];
    if (!loop) return Promise.resolve('peers/plain-js.js has no loop for it.');
    if (threads > 1) return Promise.resolve('It has one thread.');
    if (set.parameters > mostParameters) {
      return Promise.resolve('It is measured on sets of up to 10 million parameters.');
    }
    const states = tensors.map(({ data }) =>
      Array.from({ length: rule.states }, () => new Float32Array(data.length)),
    );
    const data = tensors.map((tensor) => tensor.data);
    const grads = tensors.map((tensor) => tensor.grad);
    let t = 0;
    const step = (): void => {
      ++t;
      for (let i = 0; i < data.length; ++i) {
        loop(data[i] as Float32Array, grads[i] as Float32Array, states[i] as Float32Array[], t);
      }
    };
    return Promise.resolve({
      name: this.name,
      run: (steps: number) => {
        const start = performance.now();
        for (let i = 0; i < steps; ++i) step();
        return (performance.now() - start) / 1000;
      },
      close: () => Promise.resolve(),
    });
  },
};

export const javascript: PeerGroup = {
  peers: [plainLoop],
  close() {
    // Nothing is held.
  },
};
