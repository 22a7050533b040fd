import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import type { StepOutcome } from '../../../engine/host.js'
import { Sql } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import { JournalFull, LeaseLost } from '../runs.errors.js'
import { newRun, newWriter } from './journal.fake.js'
import { Journal } from './journal.js'

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
})

afterAll(() => database.drop())

describe('a journal', () => {
  it('makes a run durable before it answers', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun()
    expect(await journal.accept(run)).toMatchObject({ id: run.id, repeated: false })
    expect(await stored(run.id)).toMatchObject({ state: 'running', epoch: 0, input: { a: 1 } })
  })

  it('gives the first run again for the same key of the same flow, also when both come at once', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const runs = Array.from({ length: 20 }, () =>
      newRun({ flowId: 'flow_keyed', idempotencyKey: 'k1', requestHash: 'h' }),
    )
    const accepted = await Promise.all(runs.map((run) => journal.accept(run)))
    expect(new Set(accepted.map(({ id }) => id)).size).toBe(1)
    expect(accepted.filter(({ repeated }) => !repeated)).toHaveLength(1)
    expect(accepted.every(({ repeated, requestHash }) => !repeated || requestHash === 'h')).toBe(true)
    const other = await journal.accept(newRun({ flowId: 'flow_other', idempotencyKey: 'k1', requestHash: 'h' }))
    expect(other.repeated).toBe(false)
  })

  it('writes what is handed in together with few commits', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const before = await commits()
    await Promise.all(Array.from({ length: 1_000 }, () => journal.accept(newRun())))
    expect((await commits()) - before).toBeLessThan(60)
  })

  it('knows of which runs it still holds something, events too: numbers of events go on from what is written', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun()
    await journal.accept(run)
    expect(journal.holds(run.id)).toBe(false)
    const event = { seq: 1, type: 'log', at: new Date().toISOString(), level: 'info', message: 'on its way' } as const
    const written = journal.write({ kind: 'events', runId: run.id, accountId: run.accountId, events: [event] })
    expect(journal.holds(run.id)).toBe(true)
    await written
    await vi.waitUntil(() => !journal.holds(run.id))
  })

  it('keeps the first outcome of a path and attempt', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun()
    await journal.accept(run)
    await journal.write({ kind: 'outcome', runId: run.id, outcome: outcome({ output: 'first' }) })
    await journal.write({ kind: 'outcome', runId: run.id, outcome: outcome({ output: 'second' }) })
    const rows = await database.dataSource.query('select output from step_outcome where run_id = $1', [run.id])
    expect(rows).toEqual([{ output: 'first' }])
  })

  it('keeps no timer of a run that was cancelled meanwhile', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const runs = Array.from({ length: 30 }, () => newRun())
    await Promise.all(runs.map((run) => journal.accept(run)))
    await Promise.all(
      runs.flatMap(({ id, accountId }) => [
        journal.write({ kind: 'timer', runId: id, timer: { path: 'nap', attempt: 1, ordinal: 1, dueAt: new Date() } }),
        database.dataSource.query('select run_cancel($1, $2, now())', [accountId, id]),
      ]),
    )
    const ids = runs.map(({ id }) => id)
    expect(await database.dataSource.query('select run_id from timer where run_id = any ($1)', [ids])).toEqual([])
  })

  it('keeps of a run that was cancelled meanwhile no beginning of a step whose outcome comes', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun()
    await journal.accept(run)
    const { path, attempt, startedAt } = outcome({})
    for (const begun of [path, 'cut-off'])
      await journal.write({ kind: 'open', runId: run.id, open: { path: begun, attempt, startedAt } })
    await database.dataSource.query('select run_cancel($1, $2, now())', [run.accountId, run.id])
    await journal.write({ kind: 'outcome', runId: run.id, outcome: outcome({}) })
    const left = await database.dataSource.query('select path from step_open where run_id = $1', [run.id])
    expect(left).toEqual([{ path: 'cut-off' }])
  })

  it('ends a run once, and says so again when asked again', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun()
    await journal.accept(run)
    const ending = { state: 'completed', result: { ok: true }, finishedAt: new Date() } as const
    const log = [{ seq: 1, type: 'log', at: new Date().toISOString(), level: 'info', message: 'done' } as const]
    expect(await journal.finish({ ...run, epoch: 0 }, ending, log)).toBe(true)
    expect(await journal.finish({ ...run, epoch: 0 }, ending, log)).toBe(true)
    expect(await journal.finish({ ...run, epoch: 0 }, { ...ending, state: 'failed' }, [])).toBe(false)
    expect(await stored(run.id)).toMatchObject({ state: 'completed', result: { ok: true } })
    expect(await database.dataSource.query('select 1 from run_event_chunk where run_id = $1', [run.id])).toHaveLength(1)
  })

  it('does not end a run that was cancelled, nor one of an older epoch', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const [cancelled, taken] = [newRun(), newRun()]
    await Promise.all([journal.accept(cancelled), journal.accept(taken)])
    await database.dataSource.query(`update run set state = 'cancelled' where id = $1`, [cancelled.id])
    await database.dataSource.query('update run set epoch = 1 where id = $1', [taken.id])
    const ending = { state: 'completed', result: {}, finishedAt: new Date() } as const
    expect(await journal.finish({ ...cancelled, epoch: 0 }, ending, [])).toBe(false)
    expect(await journal.finish({ ...taken, epoch: 0 }, ending, [])).toBe(false)
    expect(await stored(taken.id)).toMatchObject({ state: 'running' })
  })

  it('writes nothing once its process is declared lost', async () => {
    const lost = await newWriter(database)
    let told = 0
    const journal = new Journal(database.sql, lost, { onLost: () => told++ })
    await database.dataSource.query('update engine_instance set lost_at = now() where id = $1', [lost.id])
    const run = newRun()
    await expect(journal.accept(run)).rejects.toThrow(LeaseLost)
    expect(await stored(run.id)).toBeUndefined()
    expect(told).toBeGreaterThan(0)
  })

  it('finds the one record that the database refuses and writes the others', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const runs = Array.from({ length: 50 }, () => newRun())
    // No such state: the table's check refuses it.
    const poisoned = { ...newRun(), state: 'nonsense' as never }
    const results = await Promise.allSettled([...runs, poisoned].map((run) => journal.accept(run)))
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1)
    expect(results.at(-1)?.status).toBe('rejected')
    expect(await stored(runs[0]?.id ?? '')).toBeDefined()
  })

  it('keeps text with an escaped U+0000 and the order of members', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun({ input: { z: 'a\u0000b', a: 1 } })
    await journal.accept(run)
    const { input } = (await stored(run.id)) ?? {}
    expect(JSON.stringify(input)).toBe('{"z":"a\\u0000b","a":1}')
  })

  it('sends again what was in flight when its connections were cut', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const runs = Array.from({ length: 300 }, () => newRun())
    const accepts = runs.map((run) => journal.accept(run))
    await database.dataSource.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and query like '%journal_write%'`,
    )
    await Promise.all(accepts)
    const rows = await database.dataSource.query('select id from run where id = any ($1)', [runs.map(({ id }) => id)])
    expect(rows).toHaveLength(300)
  })

  it('refuses at once what cannot be written down, and goes on', async () => {
    const journal = new Journal(database.sql, await newWriter(database))
    const run = newRun({ createdAt: new Date(Number.NaN) })
    const unspeakable = { ...newRun(), input: { n: 1n } as never }
    await expect(journal.accept(unspeakable)).rejects.toThrow('BigInt')
    await expect(journal.accept(run)).rejects.toThrow()
    expect(await journal.accept(newRun())).toMatchObject({ repeated: false })
  })

  it('refuses runs when they are too large together, and splits what it took into statements of bounded size', async () => {
    const journal = new Journal(database.sql, await newWriter(database), { maxQueuedChars: 12_000_000 })
    const large = () => newRun({ input: { text: 'x'.repeat(3_000_000) } })
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => journal.accept(large())))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThan(20)
    expect(refused.every((result) => result.reason instanceof JournalFull)).toBe(true)
  })

  it('gives up what it cannot write once it takes no more runs, so that a process can stop while the database is away', async () => {
    const away = new Sql({ connectionString: database.url.replace(/:\d+\//, ':1/'), max: 2 })
    const journal = new Journal(away, await newWriter(database))
    const outcomes = journal.write({ kind: 'outcome', runId: newId('run'), outcome: outcome({}) })
    journal.refuseRuns()
    await expect(outcomes).rejects.toThrow('ECONNREFUSED')
    await journal.close()
    await expect(journal.accept(newRun())).rejects.toThrow(JournalFull)
    await away.close()
  })

  it('refuses runs when too much waits, and takes the rest once it is written', async () => {
    const journal = new Journal(database.sql, await newWriter(database), { maxQueued: 5 })
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => journal.accept(newRun())))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused.length).toBeGreaterThan(80)
    expect(refused.every((result) => result.reason instanceof JournalFull)).toBe(true)
    expect(await journal.accept(newRun())).toMatchObject({ repeated: false })
  })
})

function outcome(members: Partial<StepOutcome>): StepOutcome {
  const at = new Date()
  return {
    path: 'start',
    attempt: 1,
    node: 'start',
    nodeType: 'transform',
    state: 'succeeded',
    startedAt: at,
    finishedAt: at,
    ...members,
  }
}

async function stored(id: string) {
  const [row] = await database.dataSource.query('select * from run where id = $1', [id])
  return row
}

async function commits(): Promise<number> {
  await database.dataSource.query('select pg_stat_force_next_flush()')
  const [row] = await database.dataSource.query(
    'select xact_commit::integer as count from pg_stat_database where datname = current_database()',
  )
  return row.count
}
