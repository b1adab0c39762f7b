'use strict';

/* global afterAll */

const fs = require('node:fs');

// Had the plain addon been loaded, everything would pass and nothing be checked. That of CUDA has checks of its own.
afterAll(() => {
  const addons = new Set(fs.readFileSync('/proc/self/maps', 'utf8').match(/\/\S*\/fused_optim\.node$/gm));
  const expected = process.env.FO_SANITIZED_ADDON;
  if (addons.size !== 1 || !addons.has(expected))
    throw new Error(
      `Expected ${expected} to be the one CPU addon loaded, found ${[...addons].join(', ') || 'none'}.`,
    );
});
