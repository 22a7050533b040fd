/*
 * `npm test [files and options of Vitest]`: the tests, and the line "N passed, N failed" at the end. Continuous integration (`CI` is set)
 * shares its machine, so there up to two files that have failed are tried once more: as a whole, in a process and with a database of their
 * own, so that nothing which the first try has left is in the way. They are named. More of them are a fault of the tests, or of what they test.
 */
import './node24.mjs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const mostAgain = process.env.CI ? 2 : 0
const root = fileURLToPath(new URL('../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'millrace-tests-'))

try {
  rmSync(join(root, 'coverage/api'), { recursive: true, force: true })
  const first = await run(process.argv.slice(2))
  const again = first.files.filter(({ hasFailed }) => hasFailed)
  if (process.env.CI && again.length > mostAgain) console.log(`\n${again.length} files have failed: ${mostAgain} may try again`)
  // An error that belongs to no file is not made good by another try.
  const mayTryAgain = first.errors === 0 && again.length > 0 && again.length <= mostAgain
  const last = mayTryAgain ? await secondTry(first, again) : first
  const passed = last.files.reduce((sum, file) => sum + file.passed, 0)
  const failed = last.files.reduce((sum, file) => sum + file.failed.length, 0)
  // A file that cannot be loaded, or an error outside of a test, fails the run without failing a test.
  console.log(`\n${passed} passed, ${failed === 0 && !last.isSound ? 1 : failed} failed`)
  process.exitCode = last.isSound ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function secondTry(first, again) {
  const second = await run(again.map(({ name }) => name))
  const named = again.flatMap(({ name, failed }) => [`  ${name}`, ...failed.map((test) => `    ${test}`)])
  console.log(['\ntried a second time, since in them had failed:', ...named].join('\n'))
  return { ...second, files: [...first.files.filter((file) => !again.includes(file)), ...second.files] }
}

/** What became of each file, and whether nothing at all was wrong. */
async function run(files) {
  const report = join(folder, 'report.json')
  rmSync(report, { force: true })
  const args = ['run', ...files, '--reporter=default', '--reporter=./scripts/test-report.mjs']
  const child = spawn('vitest', args, { cwd: root, stdio: 'inherit', env: { ...process.env, TEST_REPORT: report } })
  const [code] = await once(child, 'exit')
  const told = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { errors: 1, files: [] }
  return { ...told, isSound: code === 0 }
}
