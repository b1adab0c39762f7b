import { LARS } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(LARS, 'lars', 10);
