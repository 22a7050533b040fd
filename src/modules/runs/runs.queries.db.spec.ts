import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { connectionSettings } from '../../platform/database/data-source.js'
import { Sql } from '../../platform/database/sql.js'
import { newId } from '../../platform/ids.js'
import { FINAL_STATES, LIVE_STATES, type RunState } from './run-state.js'
import { type RunFilter, RunsQueries } from './runs.queries.js'

let database: TestDatabase
let queries: RunsQueries

beforeAll(async () => {
  database = await testDatabase()
  queries = new RunsQueries(database.sql)
})

afterAll(() => database.drop())

beforeEach(async () => {
  await database.dataSource.query('delete from run')
})

const sql = (text: string, values: unknown[] = []) => database.dataSource.query(text, values)

interface Made {
  account?: string
  flow?: string
  state?: RunState
}

async function make({ account = 'account_a', flow = 'flow_a', state = 'completed' }: Made = {}): Promise<string> {
  const id = newId('run')
  await sql(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at, finished_at)
      values ($1, 'default', $2, $3, 1, $4, 'api', '{}', now(), case when $5 then now() end)`,
    [id, account, flow, state, (FINAL_STATES as readonly string[]).includes(state)],
  )
  return id
}

const idsOf = async (filter: Partial<RunFilter>, limit = 100, offset = 0) =>
  (await queries.page({ accountId: 'account_a', ...filter }, limit, offset)).items.map(({ id }) => id)

const totalOf = async (filter: Partial<RunFilter> = {}) =>
  (await queries.page({ accountId: 'account_a', ...filter }, 1, 0)).total

describe('a page of runs', () => {
  it('is newest first over all states, and goes on where the one before it ended', async () => {
    const ids: string[] = []
    for (const state of [...LIVE_STATES, ...FINAL_STATES, ...FINAL_STATES]) ids.unshift(await make({ state }))
    expect(await idsOf({})).toEqual(ids)
    expect([...(await idsOf({}, 4, 0)), ...(await idsOf({}, 4, 4)), ...(await idsOf({}, 4, 8))]).toEqual(ids)
    expect(await idsOf({}, 4, 20)).toEqual([])
  })

  it('holds what is asked for: of a flow, in some states, of both', async () => {
    const failed = await make({ state: 'failed' })
    const running = await make({ state: 'running', flow: 'flow_b' })
    const waiting = await make({ state: 'waiting', flow: 'flow_b' })
    expect(await idsOf({ flowId: 'flow_b' })).toEqual([waiting, running])
    expect(await idsOf({ states: ['failed', 'running'] })).toEqual([running, failed])
    expect(await idsOf({ flowId: 'flow_b', states: ['waiting', 'failed'] })).toEqual([waiting])
    expect(await idsOf({ states: [] })).toEqual([])
  })

  it("never holds another account's runs, nor counts them, by its flow's id either", async () => {
    await make({ account: 'account_b', flow: 'flow_of_b' })
    await make({ account: 'account_b', flow: 'flow_of_b', state: 'running' })
    expect(await queries.page({ accountId: 'account_a', flowId: 'flow_of_b' }, 10, 0)).toEqual({ items: [], total: 0 })
    expect(await totalOf({ flowId: 'flow_of_b', states: ['running'] })).toBe(0)
    // Not even where a row said that the flow is both accounts'.
    await make({ flow: 'flow_of_b' })
    const { items } = await queries.page({ accountId: 'account_a', flowId: 'flow_of_b' }, 10, 0)
    expect(items.map(({ accountId }) => accountId)).toEqual(['account_a'])
  })
})

describe('how many there are', () => {
  it('follows runs as they come, change, end and go', async () => {
    const id = await make({ state: 'queued' })
    const totals = async () => [
      await totalOf(),
      await totalOf({ states: LIVE_STATES }),
      await totalOf({ states: ['queued'] }),
      await totalOf({ states: ['failed'] }),
      await totalOf({ flowId: 'flow_a', states: ['failed', 'queued', 'running'] }),
    ]
    expect(await totals()).toEqual([1, 1, 1, 0, 1])
    await sql(`update run set state = 'running' where id = $1`, [id])
    expect(await totals()).toEqual([1, 1, 0, 0, 1])
    await sql(`update run set state = 'failed', finished_at = now() where id = $1`, [id])
    expect(await totals()).toEqual([1, 0, 0, 1, 1])
    await sql(`update run set state = 'queued', finished_at = null where id = $1`, [id])
    expect(await totals()).toEqual([1, 1, 1, 0, 1])
    await sql('delete from run where id = $1', [id])
    expect(await totals()).toEqual([0, 0, 0, 0, 0])
  })

  it('changes with the transaction or not at all', async () => {
    await database.sql
      .transaction(async (tx) => {
        await tx.query({
          name: 'test_insert',
          text: `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at)
            values ('run_x', 'default', 'account_a', 'flow_a', 1, 'queued', 'api', '{}', now())`,
        })
        throw new Error('taken back')
      })
      .catch(() => {})
    expect(await totalOf()).toBe(0)
  })

  it('is exact after writers that changed many at the same time, none of which waited for another', async () => {
    const writers = Array.from({ length: 5 }, async (_, writer) => {
      for (let round = 0; round < 10; round++) {
        const flow = `flow_${(writer + round) % 3}`
        const ids = await Promise.all([make({ flow, state: 'running' }), make({ flow, state: 'running' })])
        await sql(`update run set state = 'completed', finished_at = now() where id = any ($1)`, [ids])
        if (round % 3 === 0) await sql('delete from run where id = $1', [ids[0]])
      }
    })
    await Promise.all(writers)
    const counted = await sql(
      `select flow_id, count(*)::float8 as n from run where account_id = 'account_a' and state = 'completed' group by flow_id order by 1`,
    )
    expect(counted).toHaveLength(3)
    for (const { flow_id: flowId, n } of counted) expect(await totalOf({ flowId, states: ['completed'] })).toBe(n)
    expect(await totalOf()).toBe(5 * 10 * 2 - 5 * 4)

    // One holds its rows of the tally; the other commits all the same.
    const [held, free] = [database.sql.client(), database.sql.client()]
    await Promise.all([held.connect(), free.connect()])
    try {
      await held.query('begin')
      await held.query(`update run set state = 'failed' where state = 'completed' and flow_id = 'flow_0'`)
      await free.query(`set lock_timeout = '2s'`)
      await free.query(`update run set state = 'cancelled' where flow_id = 'flow_1'`)
      await held.query('commit')
    } finally {
      await Promise.all([held.end(), free.end()])
    }
    expect(await totalOf({ states: ['failed'] })).toBe(counted[0].n)
    expect(await totalOf({ states: ['cancelled'] })).toBe(counted[1].n)
  })
})

describe('what a page costs', () => {
  const LIMIT = 10
  const FILTERS: Record<string, Partial<RunFilter>> = {
    'all of them': {},
    'a flow': { flowId: 'flow_big' },
    'a flow with few': { flowId: 'flow_small' },
    'a common state': { states: ['completed'] },
    'a rare state': { states: ['cancelled'] },
    'a state that none has': { states: ['queued'] },
    'all live states': { states: LIVE_STATES },
    'a flow and a rare state': { flowId: 'flow_big', states: ['failed'] },
    'a flow and a state that none of its runs has': { flowId: 'flow_big', states: ['cancelled'] },
  }
  let one: Sql

  beforeAll(async () => {
    one = new Sql(connectionSettings({ url: database.url, poolSize: 1, applicationName: 'millrace test' }))
    await sql('delete from run')
  })

  afterAll(() => one.close())

  /** Rows that this connection has read, of tables and of their indexes. */
  async function rowsRead(): Promise<number> {
    await one.query({ name: 'flush', text: 'select pg_stat_force_next_flush()' })
    const [row] = await one.query<{ read: number }>({
      name: 'rows_read',
      text: `select (select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'run')::float8
        + (select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'run')::float8 as read`,
    })
    return row?.read ?? 0
  }

  it('does not depend on how many there are, whatever is asked for and however old the plan is (n8n #1578, #21114)', async () => {
    const queries = new RunsQueries(one)
    const ask = (filter: Partial<RunFilter>) => queries.page({ accountId: 'account_a', ...filter }, LIMIT, 0)
    // Statements that were prepared six times are planned once and for all: here, as if there were no runs.
    await make({ flow: 'flow_big' })
    for (const filter of Object.values(FILTERS)) for (let times = 0; times < 6; times++) await ask(filter)
    // The failed and the cancelled are rare, and the cancelled are of other flows than the big one.
    await sql(`insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at, finished_at)
      select 'run_' || lpad(i::text, 26, '0'), 'default', 'account_a',
          case when i % 500 = 0 then 'flow_small' else 'flow_big' end, 1,
          case when i % 500 = 0 then 'cancelled' when i % 300 = 1 then 'failed' else 'completed' end, 'api', '{}', now(), now()
        from generate_series(1, 20000) i`)
    for (const [plan, prepare] of [
      ['old', ''],
      ['new', 'analyze run'],
    ] as const) {
      if (prepare) await sql(prepare)
      for (const [name, filter] of Object.entries(FILTERS)) {
        const before = await rowsRead()
        const page = await ask(filter)
        const read = (await rowsRead()) - before
        expect(page.items.length, name).toBe(Math.min(LIMIT, page.total))
        // A page of each state, from the index and from the table, and what other tests have deleted; never a part of the 20,000.
        const most = 10 * LIMIT * (filter.states?.length ?? 6)
        expect(read, `${name}, with the ${plan} plan`).toBeLessThanOrEqual(most)
      }
    }
  })
})
