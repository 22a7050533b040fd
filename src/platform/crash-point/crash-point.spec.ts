import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { armedBy } from './crash-point.js'

const POINT = new URL('crash-point.ts', import.meta.url).href
const LOADER = fileURLToPath(new URL('../../../test/support/typescript.mjs', import.meta.url))

/** A process that passes two places three times each and says so. */
function passing(environment: Record<string, string>) {
  const script = `import { crashPoint } from ${JSON.stringify(POINT)}
    for (const round of [1, 2, 3]) {
      crashPoint('timer')
      process.stdout.write('timer' + round + ' ')
      crashPoint('finish')
      process.stdout.write('finish' + round + ' ')
    }`
  const { stdout, signal } = spawnSync(
    process.execPath,
    ['--import', LOADER, '--input-type=module', '--eval', script],
    { env: { PATH: process.env.PATH, ...environment }, encoding: 'utf8' },
  )
  return { passed: stdout.trim(), signal }
}

describe('a crash point', () => {
  it('ends the process as kill -9 does, at the passage that is named', () => {
    const ended = passing({ NODE_ENV: 'test', CRASH_AT: 'finish:2' })
    expect(ended).toEqual({ passed: 'timer1 finish1 timer2', signal: 'SIGKILL' })
  })

  it.each([
    ['production', 'finish:1'],
    ['development', 'finish:1'],
    ['test', ''],
  ])('does nothing with NODE_ENV=%s and CRASH_AT=%j', (mode, at) => {
    const ended = passing({ NODE_ENV: mode, CRASH_AT: at })
    expect(ended).toEqual({ passed: 'timer1 finish1 timer2 finish2 timer3 finish3', signal: null })
  })

  it('is meant from its first passage on unless a number says otherwise', () => {
    expect(armedBy({ NODE_ENV: 'test', CRASH_AT: 'takeover' })).toEqual({ point: 'takeover', passages: 1 })
  })
})
