import type { SerializedError } from 'vitest'
import type { TestModule, TestRunEndReason } from 'vitest/node'
import { DefaultReporter } from 'vitest/node'

interface Totals {
  passed: number
  failed: number
  skipped: number
}

/**
 * Vitest's own output, then every skipped test with its reason, then one plain line that anybody can search for:
 * `N passed, N failed, N skipped`.
 */
export class PlainSummaryReporter extends DefaultReporter {
  override onTestRunEnd(
    testModules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    super.onTestRunEnd(testModules, unhandledErrors, reason)
    const totals: Totals = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    const skipped: string[] = []
    for (const testModule of testModules) countModule(testModule, totals, skipped)
    if (skipped.length > 0) this.log(`Skipped:\n${skipped.join('\n')}`)
    this.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
  }
}

function countModule(testModule: TestModule, totals: Totals, skipped: string[]): void {
  // A file that cannot even be loaded has no tests, but it has failed.
  totals.failed += testModule.errors().length
  for (const test of testModule.children.allTests()) {
    const result = test.result()
    if (result.state === 'passed') totals.passed++
    else if (result.state === 'failed') totals.failed++
    else {
      totals.skipped++
      const why = (result.state === 'skipped' ? result.note : undefined) ?? 'no reason given'
      skipped.push(`  ${testModule.relativeModuleId} > ${test.fullName}: ${why}`)
    }
  }
}
