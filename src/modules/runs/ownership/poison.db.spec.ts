import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { runFromSource, type SourceProcess } from '../../../../test/support/process.js'
import { newId } from '../../../platform/ids.js'
import { INNOCENT, POISON } from './poison.fake.js'
import { MOST_STALLS } from './reaper.js'

const PROGRAM = fileURLToPath(new URL('poison.fake.ts', import.meta.url))

let database: TestDatabase
let running: SourceProcess | undefined

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  running?.child.kill('SIGKILL')
  await running?.ended
})

afterAll(() => database.drop())

describe('a run that kills each process that works on it', () => {
  it('is given up alone: its neighbours are finished, and processes live again', async () => {
    const [poison] = await queue(1, POISON)
    const innocent = await queue(30, INNOCENT)
    let kills = 0
    while (!(await isDead(poison))) {
      running = runFromSource([PROGRAM, database.url])
      const outcome = await Promise.race([running.ended, dead(poison)])
      if (!outcome) break
      expect(outcome).toMatchObject({ signal: 'SIGKILL' })
      kills++
      expect(kills).toBeLessThan(20)
    }
    // Once as a run that had got somewhere, and then until it was clear that it gets nowhere.
    expect(kills).toBe(MOST_STALLS + 2)
    await until(async () => (await statesOf(innocent)).every(({ state }) => state === 'completed'))
    expect(await statesOf([poison])).toMatchObject([{ state: 'failed', dead: true, stalls: MOST_STALLS + 1 }])
    expect((await statesOf(innocent)).filter((run) => run.dead)).toEqual([])
    expect(running?.child.signalCode).toBeNull()
  }, 120_000)
})

async function queue(count: number, flowId: string): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId('run'))
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, wake_at, created_at)
      select id, 'tenant_t', 'account_a', $2, 1, 'queued', 'api', '{}', now(), now() from unnest($1::text[]) as id`,
    [ids, flowId],
  )
  return ids
}

async function statesOf(ids: readonly (string | undefined)[]): Promise<{ state: string; dead: boolean }[]> {
  return await database.dataSource.query('select state, dead, stalls from run where id = any ($1)', [ids])
}

async function isDead(id: string | undefined): Promise<boolean> {
  return (await statesOf([id]))[0]?.dead ?? false
}

async function dead(id: string | undefined): Promise<undefined> {
  await until(() => isDead(id))
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  await vi.waitUntil(isSo, { timeout: 120_000, interval: 50 })
}
