import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../config/config.js'

const POINT = new URL('crash-point.ts', import.meta.url).href
const CONFIG = new URL('../config/config.ts', import.meta.url).href
/** So that no key is generated. */
const KEYS = { JWT_SECRET: 'x'.repeat(32), ENCRYPTION_KEY: '00'.repeat(32) }
const LOADER = fileURLToPath(new URL('../../../test/support/typescript.mjs', import.meta.url))

/** A process that passes two places three times each and says so. */
function passing(environment: Record<string, string>) {
  const script = `import { armCrashPoint, crashPoint } from ${JSON.stringify(POINT)}
    import { readConfig } from ${JSON.stringify(CONFIG)}
    armCrashPoint(readConfig().crashAt)
    for (const round of [1, 2, 3]) {
      crashPoint('timer')
      process.stdout.write('timer' + round + ' ')
      crashPoint('finish')
      process.stdout.write('finish' + round + ' ')
    }`
  const { stdout, signal } = spawnSync(
    process.execPath,
    ['--import', LOADER, '--input-type=module', '--eval', script],
    { env: { PATH: process.env.PATH, ...KEYS, ...environment }, encoding: 'utf8' },
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
    const config = readConfig({ ...KEYS, NODE_ENV: 'test', CRASH_AT: 'takeover' })
    expect(config.crashAt).toEqual({ point: 'takeover', passages: 1 })
  })

  it.each(['nowhere', 'finish:0', 'finish:x', 'finish:'])('is refused as %j', (at) => {
    expect(() => readConfig({ ...KEYS, NODE_ENV: 'test', CRASH_AT: at })).toThrow(ConfigError)
  })
})
