import type { Reporter, TestCase } from 'vitest/node'

/** So many tests may need a second try on a busy machine. More of them are a fault of the tests, or of what they test. */
const MOST = 2

/** Names the tests that passed at their second try only, and fails the run where there are too many. */
export class SecondTries implements Reporter {
  private readonly names: string[] = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky) this.names.push(`${test.module.relativeModuleId} > ${test.fullName}`)
  }

  onTestRunEnd(): void {
    if (this.names.length === 0) return
    process.stdout.write(`\npassed at the second try only:\n${this.names.map((name) => `  ${name}\n`).join('')}`)
    if (this.names.length <= MOST) return
    process.stdout.write(`that is more than ${MOST}: the run has failed\n`)
    process.exitCode = 1
  }
}
