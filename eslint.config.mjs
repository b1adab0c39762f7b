import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const nodeGlobals = Object.fromEntries(
  [
    'console',
    'process',
    'require',
    'module',
    '__dirname',
    'Buffer',
    'URL',
    'fetch',
    'setTimeout',
    '__filename',
    'clearTimeout',
  ].map((name) => [name, 'readonly']),
);

export default tseslint.config(
  { ignores: ['build/', 'build-*/', 'dist/', 'coverage/', 'prebuilds/', '**/node_modules/', '**/out/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.js'],
    languageOptions: { sourceType: 'commonjs', globals: nodeGlobals },
    rules: { eqeqeq: 'error', 'no-var': 'error', 'prefer-const': 'error' },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.tools.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Messages name numbers, flags and shapes: `Expected lr >= 0 but received ${lr}`.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowArray: true },
      ],
      // `() => emitter.on(...)` and `return this.end()` read well where the type is void anyway.
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      // `noUncheckedIndexedAccess` makes every `a[i]` possibly undefined; `!` says that i was bounded by the loop.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Callers from plain JavaScript pass what the types exclude, so lib/ checks what the types already promise.
      '@typescript-eslint/no-unnecessary-condition': 'off',
    },
  },
  {
    files: ['lib/native.ts'],
    // The path of the addon is known only at run time.
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
  {
    files: ['lib/validate.ts'],
    // Shows values of every type in errors.
    rules: { '@typescript-eslint/no-base-to-string': 'off' },
  },
);
