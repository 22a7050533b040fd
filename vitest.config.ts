import { defineConfig } from 'vitest/config'
import { SecondTries } from './test/support/second-tries.js'

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
    // Continuous integration shares its machine. What needed the second try is named at the end, and may be two tests at most.
    retry: process.env.CI ? 1 : 0,
    reporters: ['default', new SecondTries()],
  },
})
