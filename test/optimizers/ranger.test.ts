import { Ranger } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(Ranger, 'ranger', 8);
