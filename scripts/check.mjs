/* `npm run check`: every script of package.json whose name starts with `check:`, in that order, to the last whatever fails. */
import './node24.mjs'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const names = Object.keys(scripts).filter((name) => name.startsWith('check:'))

const failed = names.filter((name) => {
  const startedAt = Date.now()
  const { status } = spawnSync('npm', ['run', '--silent', name], { stdio: 'inherit' })
  console.log(`${status === 0 ? 'ok     ' : 'FAILED '} ${name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`)
  return status !== 0
})
console.log(failed.length === 0 ? `all ${names.length} checks hold` : `failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
