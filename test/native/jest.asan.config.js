'use strict';

// The project's tests on the addon built with sanitizers, $FO_SANITIZED_ADDON, whichever path lib/native.ts tries.

const base = require('../../jest.config');

module.exports = {
  ...base,
  rootDir: '../..',
  moduleNameMapper: {
    ...base.moduleNameMapper,
    '[\\\\/]fused_optim\\.node$': process.env.FO_SANITIZED_ADDON,
  },
  setupFilesAfterEnv: ['<rootDir>/test/native/jest.asan.setup.js'],
};
