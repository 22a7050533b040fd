import { writeFileSync } from 'node:fs'

/** Tells `test.mjs` what became of each file, and how many errors belong to none. A reporter of Vitest. */
export default class CiReport {
  onTestRunEnd(modules, unhandledErrors) {
    const files = modules.map((module) => {
      const tests = [...module.children.allTests()]
      const named = (state) => tests.filter((test) => test.result().state === state).map(({ fullName }) => fullName)
      return {
        name: module.relativeModuleId,
        hasFailed: module.state() === 'failed',
        passed: named('passed').length,
        failed: named('failed'),
      }
    })
    writeFileSync(process.env.TEST_REPORT, JSON.stringify({ errors: unhandledErrors.length, files }))
  }
}
