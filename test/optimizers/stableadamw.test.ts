import { StableAdamW } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(StableAdamW, 'stableadamw', 7);
