import { defineConfig } from 'vitest/config'

export default defineConfig({
  oxc: {
    typescript: { removeClassFieldsWithoutInitializer: true },
    assumptions: { setPublicClassFields: true },
  },
  test: {
    include: ['src/**/*.spec.ts', 'test/**/*.spec.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // As `vi.waitFor` and `vi.waitUntil` have it from the setup file.
    expect: { poll: { timeout: 15_000 } },
  },
})
