'use strict';

// The commit that is run: what results and reports name.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');

function git(...args) {
  const stdio = ['ignore', 'pipe', 'ignore'];
  return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio }).trim();
}

/** What scripts/pack-gpu.js left in a packed tree; undefined in a checkout. */
function packed() {
  try {
    return JSON.parse(fs.readFileSync(path.join(root, 'gpu-pack.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * FUSED_OPTIM_COMMIT, or what a packed tree says of itself, or git's word, with `+` after it where the checkout has
 * changes; null where nobody knows.
 */
function commit() {
  if (process.env.FUSED_OPTIM_COMMIT) return process.env.FUSED_OPTIM_COMMIT;
  const pack = packed();
  if (pack) return pack.commit;
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return null;
  }
}

module.exports = { commit, packed };
