'use strict';

// The loops a Node user writes without a library: Float32Arrays, one pass a tensor, the arithmetic in double, which is
// what JavaScript has. test/bench checks that each gives the library's numbers, so that both do the same job.
//
// Arguments: p and the states s are updated in place, g is the gradient, t counts the steps from 1.

// The hyper-parameters of ../rules.ts.
const lr = 1e-6;
const mu = 0.9;
const b1 = 0.9;
const b2 = 0.999;
const lionB2 = 0.99;
const alpha = 0.99;
const eps = 1e-8;
const weightDecay = 0.01;

function sgd(p, g) {
  for (let i = 0; i < p.length; i++) p[i] -= lr * g[i];
}

function momentum(p, g, [v]) {
  for (let i = 0; i < p.length; i++) {
    v[i] = mu * v[i] + g[i];
    p[i] -= lr * v[i];
  }
}

function nag(p, g, [v]) {
  for (let i = 0; i < p.length; i++) {
    v[i] = mu * v[i] + g[i];
    p[i] -= lr * (g[i] + mu * v[i]);
  }
}

/** NAdam's momentum at a step, and the product of all up to it, which grows with every call for a new step. */
const products = [1];
function nadamMu(t) {
  const value = b1 * (1 - 0.5 * 0.96 ** (t * 4e-3));
  if (products.length === t) products.push(products[t - 1] * value);
  return value;
}

function nadam(p, g, [m, v], t) {
  const now = nadamMu(t);
  const next = nadamMu(t + 1);
  const stepG = (lr * (1 - now)) / (1 - products[t]);
  const stepM = (lr * next) / (1 - products[t + 1]);
  const bias2 = 1 - b2 ** t;
  for (let i = 0; i < p.length; i++) {
    m[i] = b1 * m[i] + (1 - b1) * g[i];
    v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
    p[i] -= (stepG * g[i] + stepM * m[i]) / (Math.sqrt(v[i] / bias2) + eps);
  }
}

function adagrad(p, g, [sum]) {
  for (let i = 0; i < p.length; i++) {
    sum[i] += g[i] * g[i];
    p[i] -= (lr * g[i]) / (Math.sqrt(sum[i]) + 1e-10);
  }
}

function rmsprop(p, g, [v]) {
  for (let i = 0; i < p.length; i++) {
    v[i] = alpha * v[i] + (1 - alpha) * g[i] * g[i];
    p[i] -= (lr * g[i]) / (Math.sqrt(v[i]) + eps);
  }
}

function rmspropCentered(p, g, [v, a]) {
  for (let i = 0; i < p.length; i++) {
    v[i] = alpha * v[i] + (1 - alpha) * g[i] * g[i];
    a[i] += (1 - alpha) * (g[i] - a[i]);
    p[i] -= (lr * g[i]) / (Math.sqrt(Math.max(v[i] - a[i] * a[i], 0)) + eps);
  }
}

function rmspropMomentum(p, g, [v, b]) {
  for (let i = 0; i < p.length; i++) {
    v[i] = alpha * v[i] + (1 - alpha) * g[i] * g[i];
    b[i] = mu * b[i] + g[i] / (Math.sqrt(v[i]) + eps);
    p[i] -= lr * b[i];
  }
}

function adam(p, g, [m, v], t) {
  const step = lr / (1 - b1 ** t);
  const root2 = Math.sqrt(1 - b2 ** t);
  for (let i = 0; i < p.length; i++) {
    m[i] = b1 * m[i] + (1 - b1) * g[i];
    v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
    p[i] -= (step * m[i]) / (Math.sqrt(v[i]) / root2 + eps);
  }
}

function adamw(p, g, [m, v], t) {
  const step = lr / (1 - b1 ** t);
  const root2 = Math.sqrt(1 - b2 ** t);
  const keep = 1 - lr * weightDecay;
  for (let i = 0; i < p.length; i++) {
    m[i] = b1 * m[i] + (1 - b1) * g[i];
    v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
    p[i] = p[i] * keep - (step * m[i]) / (Math.sqrt(v[i]) / root2 + eps);
  }
}

function amsgrad(p, g, [m, v, x], t) {
  const step = lr / (1 - b1 ** t);
  const root2 = Math.sqrt(1 - b2 ** t);
  for (let i = 0; i < p.length; i++) {
    m[i] = b1 * m[i] + (1 - b1) * g[i];
    v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
    if (v[i] > x[i]) x[i] = v[i];
    p[i] -= (step * m[i]) / (Math.sqrt(x[i]) / root2 + eps);
  }
}

function radam(p, g, [m, v], t) {
  const last = 2 / (1 - b2) - 1;
  const rho = last - (2 * t * b2 ** t) / (1 - b2 ** t);
  const rectified = rho > 5;
  const r = rectified ? ((rho - 4) * (rho - 2) * last) / ((last - 4) * (last - 2) * rho) : 1;
  const step = (lr / (1 - b1 ** t)) * (rectified ? Math.sqrt(r * (1 - b2 ** t)) : 1);
  for (let i = 0; i < p.length; i++) {
    m[i] = b1 * m[i] + (1 - b1) * g[i];
    v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
    p[i] -= rectified ? (step * m[i]) / (Math.sqrt(v[i]) + eps) : step * m[i];
  }
}

function lion(p, g, [m]) {
  const keep = 1 - lr * weightDecay;
  for (let i = 0; i < p.length; i++) {
    p[i] = p[i] * keep - lr * Math.sign(b1 * m[i] + (1 - b1) * g[i]);
    m[i] = lionB2 * m[i] + (1 - lionB2) * g[i];
  }
}

/** By the names of ../rules.ts. */
exports.loops = {
  sgd,
  momentum,
  nag,
  nadam,
  adagrad,
  rmsprop,
  'rmsprop-centered': rmspropCentered,
  'rmsprop-momentum': rmspropMomentum,
  adam,
  adamw,
  amsgrad,
  radam,
  lion,
};
