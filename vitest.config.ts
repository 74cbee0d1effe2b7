import { defineConfig } from 'vitest/config'
import { PlainSummaryReporter } from './test/support/reporter.ts'

export default defineConfig({
  test: {
    include: ['{src,client,cli,bench,test}/**/*.test.ts'],
    pool: 'forks',
    // Two cores are what the smallest machine that runs this has; more workers only make timings worse.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 5_000,
    reporters: [new PlainSummaryReporter()],
  },
})
