import { defineConfig } from 'vitest/config';

/**
 * The level of a test is in its name. `unit` needs nothing, `int` starts what npm brought (a PostgreSQL, a broker), `e2e`
 * the whole program: these are `npm test`. `engine` needs a server that somebody installed (`npm run test:engines`,
 * one file after another: real engines have real time limits). Wherever
 * a server may be, its answers are held against what is published of them.
 */
const project = (name: 'unit' | 'int' | 'e2e' | 'engine') => ({
  extends: true as const,
  test: {
    name,
    include: [`test/**/*.${name}.test.ts`],
    ...(name === 'unit' ? {} : { testTimeout: 60_000, hookTimeout: 180_000, setupFiles: ['test/support/conformance-hook.ts'] }),
  },
});

export default defineConfig({
  test: {
    environment: 'node',
    maxWorkers: 2,
    projects: [project('unit'), project('int'), project('e2e'), project('engine')],
  },
});
