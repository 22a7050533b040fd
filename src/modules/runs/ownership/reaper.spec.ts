import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Sql } from '../../../platform/database/sql.js'
import { Reaper } from './reaper.js'

let since: Date
let lost: { id: string; fence: number; lapsed: boolean }[]
let declared: string[]

/** A database that tells what the test says, and notes who is declared lost. */
const database = {
  async query(statement: { name: string }, values: unknown[]) {
    if (statement.name === 'engine_find_lost') return [{ since, lost }]
    if (statement.name === 'engine_declare_lost') declared.push(values[0] as string)
    return []
  },
  transaction: (work: (tx: unknown) => Promise<unknown>) => work(database),
} as unknown as Sql

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
  since = new Date('2026-01-01T00:00:00Z')
  lost = []
  declared = []
})

afterEach(() => void vi.useRealTimers())

const reaper = () =>
  new Reaper(database, 'engine_self', { onTakeover() {}, onError: (error) => expect.fail(String(error)) })
const silent = { id: 'engine_silent', fence: 1, lapsed: false }
const lapsed = { id: 'engine_lapsed', fence: 2, lapsed: true }

it('takes over at once from whoever has no lock', async () => {
  lost = [silent, lapsed]
  await reaper().reap()
  expect(declared).toEqual(['engine_silent', 'engine_lapsed'])
})

it('gives all others time to come back when the database was restarted, unless their lease ran out', async () => {
  const one = reaper()
  await one.reap()
  since = new Date('2026-01-01T01:00:00Z')
  lost = [silent, lapsed]
  await one.reap()
  expect(declared).toEqual(['engine_lapsed'])
  vi.advanceTimersByTime(2_000)
  lost = [silent]
  await one.reap()
  expect(declared).toEqual(['engine_lapsed'])
  vi.advanceTimersByTime(1_500)
  await one.reap()
  expect(declared).toEqual(['engine_lapsed', 'engine_silent'])
})
