import { LAMB } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(LAMB, 'lamb', 10);
