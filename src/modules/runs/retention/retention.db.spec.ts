import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Logger } from '@nestjs/common'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import { newId } from '../../../platform/ids.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import type { RunState } from '../run-state.js'
import { VALUES_AREA } from '../values/run-values.js'
import { Housekeeping } from './housekeeping.js'
import { Partitions } from './partitions.js'
import { Retention } from './retention.js'

/** A Monday. */
const NOW = new Date('2026-03-02T12:00:00Z')
const scope = { area: VALUES_AREA, tenantId: 'tenant_t' }
const never = new AbortController().signal

let database: TestDatabase
let folder: string
let store: EmbeddedObjectStore

beforeAll(async () => {
  Logger.overrideLogger(false)
  database = await testDatabase()
  await query(`select run_partitions('2026-01-05T00:00:00Z', 9)`)
})

afterAll(() => database.drop())

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-retention-'))
  store = new EmbeddedObjectStore(folder)
})

afterEach(async () => {
  await query('truncate run, run_tally, step_outcome, run_event_chunk, chore')
  await rm(folder, { recursive: true, force: true })
})

describe('partitions', () => {
  it('are there for this week and the coming ones, and only made once', async () => {
    const partitions = new Partitions(database.sql)
    await partitions.makeAhead(NOW)
    await partitions.makeAhead(NOW)
    expect((await weeks()).slice(-5)).toEqual(['20260302', '20260309', '20260316', '20260323', '20260330'])
    const late = await run({ at: '2026-03-30T00:00:00Z', state: 'running' })
    expect(await partitionOf(late)).toBe('step_outcome_20260330')
    expect(await partitions.filledRests()).toEqual([])
  })

  it('that a filled default partition stands in the way of are reported, and stop nothing', async () => {
    const early = await run({ at: '2025-06-02T00:00:00Z', state: 'completed' })
    expect(await partitionOf(early)).toBe('step_outcome_rest')
    const partitions = new Partitions(database.sql)
    await expect(partitions.makeAhead(new Date('2025-06-02T00:00:00Z'))).rejects.toThrow('default partition')
    expect((await partitions.filledRests()).sort()).toEqual(['run_event_chunk_rest', 'step_outcome_rest'])
    expect((await weeks()).slice(0, 4)).toEqual(['20250609', '20250616', '20250623', '20250630'])
    const old = await run({ at: '2026-01-06T00:00:00Z', state: 'completed' })
    await housekeeping({ now: new Date('2025-06-03T00:00:00Z'), days: 1 }).look()
    expect(await ids()).toEqual([early, old])
    await housekeeping({ now: NOW, days: 30 }).look()
    expect(await ids()).toEqual([])
    expect(await partitions.filledRests()).toEqual([])
  })
})

describe('runs that finished long ago', () => {
  it('go with all that they did; live ones, recent ones and the audit trail stay', async () => {
    await query(`select run_partitions('2026-01-05T00:00:00Z', 9)`)
    const gone = await Promise.all(
      Array.from({ length: 1_203 }, (_, minute) =>
        run({ at: new Date(Date.UTC(2026, 0, 6, 0, minute)).toISOString(), state: 'completed' }),
      ),
    )
    const sharesItsWeek = await run({ at: '2026-01-13T00:00:00Z', state: 'failed' })
    const waiting = await run({ at: '2026-01-13T01:00:00Z', state: 'waiting' })
    const recent = await run({ at: '2026-02-25T00:00:00Z', state: 'completed' })
    const endedLate = await run({ at: '2026-01-21T00:00:00Z', state: 'cancelled', finishedAt: '2026-02-28T00:00:00Z' })
    await query(`insert into audit_entry (id, tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome)
      values ('${newId('audit')}', 't', '2026-01-06', 'a', 'a@example.com', 'run.start', 'run', '${gone[0]}', 'success')`)

    const removed = await new Retention(database.sql).removeBefore(new Date('2026-02-01T00:00:00Z'), never)

    expect(removed.runs).toBe(1_204)
    expect(await ids()).toEqual([waiting, endedLate, recent].sort())
    expect(await did('step_outcome')).toEqual([waiting, endedLate, recent].sort())
    expect(await did('run_event_chunk')).toEqual([waiting, endedLate, recent].sort())
    expect(removed.weeks).toContain('20260105')
    expect(removed.weeks).not.toContain('20260112')
    expect(removed.weeks).not.toContain('20260119')
    expect(await weeks()).not.toContain('20260105')
    expect(await weeks()).toContain('20260112')
    expect(removed.rows).toBe(2)
    expect(gone).not.toContain(sharesItsWeek)
    expect(await query(`select 1 from audit_entry where resource_id = '${gone[0]}'`)).toHaveLength(1)
    const [tally] = await query(`select sum(accepted)::integer as accepted, sum(completed)::integer as completed,
      sum(failed)::integer as failed from run_tally where account_id = 'account_a' and flow_id = ''`)
    expect(tally).toEqual({ accepted: 3, completed: 1, failed: 0 })
    // There is nothing more to do.
    const again = await new Retention(database.sql).removeBefore(new Date('2026-02-01T00:00:00Z'), never)
    expect(again).toEqual({ runs: 0, weeks: [], rows: 0, failures: [] })
  })

  it('stay while their parent may still ask for them', async () => {
    await query(`select run_partitions('2026-01-05T00:00:00Z', 9)`)
    const parent = await run({ at: '2026-01-06T00:00:00Z', state: 'waiting' })
    const child = await run({ at: '2026-01-06T00:01:00Z', state: 'completed', parent })
    const retention = new Retention(database.sql)
    expect((await retention.removeBefore(NOW, never)).runs).toBe(0)
    await query(`update run set state = 'completed', finished_at = '2026-01-07' where id = '${parent}'`)
    expect((await retention.removeBefore(NOW, never)).runs).toBe(2)
    expect(await ids()).not.toContain(child)
  })

  it('that somebody holds at the moment are left to the next time', async () => {
    await query(`select run_partitions('2026-01-05T00:00:00Z', 9)`)
    const held = await run({ at: '2026-01-06T00:00:00Z', state: 'completed' })
    await run({ at: '2026-01-06T00:01:00Z', state: 'completed' })
    await database.sql.transaction(async (tx) => {
      await tx.query({ name: 'hold', text: 'select 1 from run where id = $1 for key share' }, [held])
      expect((await new Retention(database.sql).removeBefore(NOW, never)).runs).toBe(1)
    })
    expect(await ids()).toEqual([held])
    expect(await did('step_outcome')).toEqual([held])
  })

  it('are left alone where they are kept for ever', async () => {
    const old = await run({ at: '2026-01-13T00:00:00Z', state: 'completed' })
    await housekeeping({ now: NOW, days: 0 }).look()
    expect(await ids()).toEqual([old])
  })

  it('are removed by one process at a time, once an hour', async () => {
    await run({ at: '2026-01-13T00:00:00Z', state: 'completed' })
    const holder = database.sql.client()
    await holder.connect()
    await holder.query('select pg_advisory_lock($1, 0)', [LOCKS.retention])
    await housekeeping({ now: NOW, days: 1 }).look()
    expect(await ids()).toHaveLength(1)
    await holder.end()
    // The one that holds the lock is believed to be at it.
    await housekeeping({ now: new Date(NOW.getTime() + 60_000), days: 1 }).look()
    expect(await ids()).toHaveLength(1)
    await housekeeping({ now: new Date(NOW.getTime() + 3_600_000), days: 1 }).look()
    expect(await ids()).toEqual([])
  })

  it('take their week with them later, where somebody reads it at the moment', async () => {
    await query(`select run_partitions('2026-01-05T00:00:00Z', 9)`)
    await run({ at: '2026-01-06T00:00:00Z', state: 'completed' })
    await database.sql.transaction(async (tx) => {
      await tx.query({ name: 'read', text: 'select count(*) from step_outcome_20260105' })
      const removed = await new Retention(database.sql).removeBefore(new Date('2026-01-20T00:00:00Z'), never)
      expect(removed).toMatchObject({ runs: 1, weeks: ['20260112'], failures: [{ code: '55P03' }] })
    })
    const { weeks: dropped } = await new Retention(database.sql).removeBefore(new Date('2026-01-20T00:00:00Z'), never)
    expect(dropped).toEqual(['20260105'])
  })

  it('free their idempotency keys', async () => {
    await query(`select run_partitions('2026-01-05T00:00:00Z', 9)`)
    await run({ at: '2026-01-06T00:00:00Z', state: 'completed', key: 'k' })
    await new Retention(database.sql).removeBefore(NOW, never)
    await expect(run({ at: '2026-03-02T00:00:00Z', state: 'completed', key: 'k' })).resolves.toBeDefined()
  })
})

describe('values that no run refers to', () => {
  it('go once they are a day old; those that are referred to stay, from whichever column', async () => {
    const refs = await Promise.all(
      ['input', 'result', 'output', 'shared', 'nobody'].map((text) => putOld(`"${text} ${'x'.repeat(100)}"`)),
    )
    const [input, result, output, shared] = refs as [string, string, string, string]
    const fresh = (await store.put(scope, Buffer.from('"fresh"'))).key
    const id = await run({ at: '2026-03-01T00:00:00Z', state: 'completed' })
    await query(`update run set input_ref = '${input}', result_ref = '${result}' where id = '${id}'`)
    await query(`update step_outcome set output_ref = '${output}', shared_ref = '${shared}' where run_id = '${id}'`)
    const keeper = housekeeping({ now: new Date(), days: 0 })
    await keeper.look()
    expect(await kept()).toEqual([input, result, output, shared, fresh].sort())
    await query(`delete from run; delete from step_outcome; truncate chore`)
    await keeper.look()
    expect(await kept()).toEqual([fresh])
  })

  it('are looked for in more batches than one', async () => {
    await Promise.all(Array.from({ length: 1_100 }, (_, number) => putOld(`"${number}"`)))
    await housekeeping({ now: new Date(), days: 0 }).look()
    expect(await kept()).toEqual([])
  })
})

function housekeeping({ now, days }: { now: Date; days: number }): Housekeeping {
  return new Housekeeping(database.sql, store, { retentionDays: days }, { now: () => now, at: () => () => {} })
}

interface Made {
  at: string
  state: RunState
  finishedAt?: string
  parent?: string
  key?: string
}

let made = 0

/** A run that was made then, with an outcome and an event. */
async function run({ at, state, finishedAt = at, parent, key }: Made): Promise<string> {
  const isFinal = ['completed', 'failed', 'cancelled'].includes(state)
  const [row] = await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at, finished_at, parent_run_id,
        parent_path, parent_attempt, idempotency_key)
      values (run_id_at($1::timestamptz) || $2, 'tenant_t', 'account_a', 'flow_f', 1, $3, 'api', '{}', $1, $4, $5::text,
        case when $5::text is not null then 'call' end, case when $5::text is not null then 1 end, $6)
      returning id`,
    [at, String(++made).padStart(16, '0'), state, isFinal ? finishedAt : null, parent ?? null, key ?? null],
  )
  await database.dataSource.query(
    `insert into step_outcome (run_id, path, attempt, node, node_type, state, output, started_at, finished_at)
      values ($1, 'a', 1, 'a', 'transform', 'succeeded', '1', $2, $2)`,
    [row.id, at],
  )
  await database.dataSource.query(`insert into run_event_chunk values ($1, 1, 1, '[]')`, [row.id])
  return row.id
}

async function putOld(text: string): Promise<string> {
  const { key, sha256 } = await store.put(scope, Buffer.from(text))
  await utimes(join(folder, scope.area, scope.tenantId, sha256.slice(0, 2), sha256), new Date(0), new Date(0))
  return key
}

async function kept(): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(VALUES_AREA)) keys.push(key)
  return keys.sort()
}

async function ids(): Promise<string[]> {
  return (await query('select id from run order by id')).map(({ id }) => String(id))
}

async function did(table: string): Promise<string[]> {
  return (await query(`select distinct run_id from ${table} order by run_id`)).map(({ run_id }) => String(run_id))
}

async function partitionOf(id: string): Promise<string> {
  const [row] = await query(`select tableoid::regclass::text as name from step_outcome where run_id = '${id}'`)
  return String(row?.name)
}

async function weeks(): Promise<string[]> {
  const rows = await query(`select substring(c.relname from '\\d{8}$') as week from pg_inherits i
    join pg_class c on c.oid = i.inhrelid where i.inhparent = 'step_outcome'::regclass and c.relname ~ '\\d{8}$' order by 1`)
  return rows.map(({ week }) => String(week)).filter((week) => week < '202606')
}

async function query(text: string): Promise<Record<string, unknown>[]> {
  return await database.dataSource.query(text)
}
