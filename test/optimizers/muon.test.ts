import { Muon } from 'fused-optim';
import { goldenCases } from '../helpers/golden';
import type { Options } from '../helpers/registry';

interface Aux extends Options {
  readonly algorithm: string;
}

goldenCases(
  'Muon',
  'muon',
  11,
  (hyperparameters) => hyperparameters,
  (params, { useMuon, aux, ...options }) => {
    const { algorithm: _, ...adamw } = aux as Aux;
    const muon = new Set(useMuon as readonly string[]);
    const routed = params.map((param) =>
      Object.assign(param, { role: muon.has(param.name!) ? 'hidden' : 'vector' }),
    );
    return new Muon(routed, { ...options, adamw });
  },
  ['float32'],
);
