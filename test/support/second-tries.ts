import type { Reporter, TestCase } from 'vitest/node'

/** Names the tests that passed at their second try only: on a busy machine they do not fail the run, and they are not forgotten either. */
export class SecondTries implements Reporter {
  private readonly names: string[] = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky) this.names.push(`${test.module.relativeModuleId} > ${test.fullName}`)
  }

  onTestRunEnd(): void {
    if (this.names.length === 0) return
    process.stdout.write(`\npassed at the second try only:\n${this.names.map((name) => `  ${name}\n`).join('')}`)
  }
}
