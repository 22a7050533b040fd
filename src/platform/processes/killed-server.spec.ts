import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { runFromSource, type SourceProcess } from '../../../test/support/process.js'
import { survivors } from './attacks.fake.js'
import { findCgroups, foreignGroups } from './cgroups.js'
import { probeIsolation } from './isolation.js'
import { killOrphans } from './orphans.js'
import type { Profile } from './profiles.js'

const SERVER = fileURLToPath(new URL('killed-server.fake.ts', import.meta.url))
const { secureFault, namespaceFault } = await probeIsolation()

let server: SourceProcess | undefined
afterEach(() => void server?.child.kill('SIGKILL'))

/** A server with a step at work under each of these profiles, killed as by the kernel. */
async function killedWith(...profiles: Profile[]): Promise<string> {
  const token = `killed-${randomBytes(6).toString('hex')}`
  server = runFromSource([SERVER, token, ...profiles], { HOME: '/tmp' })
  await server.line(/all up/)
  // Both of what it started, beside the shell and what isolates it.
  expect(await survivors(token)).toBeGreaterThanOrEqual(3 * profiles.length)
  server.child.kill('SIGKILL')
  await server.ended.catch(() => {})
  return token
}

const gone = (token: string) => expect.poll(() => survivors(token), { timeout: 15_000, interval: 50 }).toBe(0)

describe('of a server that was killed with kill -9', () => {
  it.skipIf(secureFault)('nothing is left under secure', async () => await gone(await killedWith('secure')))

  it.skipIf(namespaceFault)('nothing is left under permissive', async () => await gone(await killedWith('permissive')))

  it('what is left under disabled is ended by the next', async () => {
    const token = await killedWith('disabled')
    const cgroups = findCgroups()
    // How many is not said: a server that another spec starts at this moment is the next as well.
    await killOrphans(cgroups)
    await gone(token)
    // Not even an empty group.
    const left = cgroups ? foreignGroups(cgroups).filter(({ path }) => path.includes(`.${server?.pid}.`)) : []
    expect(left).toEqual([])
  })

  it('nothing of a server that lives is touched', async () => {
    const token = `killed-${randomBytes(6).toString('hex')}`
    server = runFromSource([SERVER, token, 'disabled'], { HOME: '/tmp' })
    await server.line(/all up/)
    await killOrphans(findCgroups())
    expect(await survivors(token)).toBeGreaterThanOrEqual(3)
    server.child.kill('SIGKILL')
    await server.ended.catch(() => {})
    await killOrphans(findCgroups())
    await gone(token)
  })
})
