'use strict';

const { nativeApi } = require('fused-optim');
const { train } = require('./build/Release/line.node');

const [w, b, loss] = train(nativeApi(), 500);
console.log(`y = ${w.toFixed(2)} x + ${b.toFixed(2)}, mean squared error ${loss.toExponential(1)}`);
