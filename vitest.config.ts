import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['formats/**/*.test.ts', 'lib/**/*.test.ts', 'tools/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    passWithNoTests: true,
    setupFiles: ['test/support/breathe.ts'],
    pool: 'forks',
    poolOptions: { forks: { maxForks: 2 } },
  },
});
