'use strict';

module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.tools.json' }] },
  // The tests import the package by its own name, as users do, but run the sources.
  moduleNameMapper: { '^fused-optim$': '<rootDir>/lib/index.ts' },
};
