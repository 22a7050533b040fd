import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { stringify } from 'yaml'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { LOG_LIMITS } from '../host/log-budget.js'
import { Housekeeping } from '../retention/housekeeping.js'
import { RunEngine } from '../run-engine.js'

let api: ApiUnderTest
let user: FlowRunnerUser
let database: pg.Client

beforeAll(async () => {
  api = await apiUnderTest({ RETENTION_DAYS: '7' })
  user = await FlowRunnerUser.login(api)
  database = new pg.Client({ connectionString: api.databaseUrl })
  await database.connect()
})

afterAll(async () => {
  await database.end()
  await api.close()
})

const script = (code: string, next?: string) => ({
  type: 'transform',
  params: { script: code },
  ...(next && { next: { default: next } }),
})

describe('a log without an end', () => {
  it('ends with a line that says so, and the execution goes on', async () => {
    const flow = await user.flow({
      start: script('return Array.from({ length: 30 }, (_, i) => i)', 'talk'),
      talk: {
        ...script('for (let i = 0; i < 500; i++) console.log("again"); return 1', 'end'),
        batch: { strategy: 'serial' },
      },
      end: script('return { done: true }'),
    })
    const id = await user.start(flow)
    expect((await user.ended(id)).result).toEqual({ done: true })
    const { body } = await user
      .get(`/api/v1/executions/${id}/logs?limit=20&offset=${LOG_LIMITS.lines - 10}`)
      .expect(200)
    expect(body.total).toBeLessThan(LOG_LIMITS.lines + 20)
    expect(body.logs.map(({ message }: { message: string }) => message)).toContainEqual(
      expect.stringContaining('the log is full'),
    )
    expect(body.logs.at(-1).message).toBe('Execution completed')
    const { rows } = await database.query('select max(last_seq) as last from run_event_chunk where run_id = $1', [id])
    expect(rows[0].last).toBeLessThan(LOG_LIMITS.lines + 200)
  })
})

describe('text that PostgreSQL does not hold', () => {
  it('is refused in an input, wherever it stands, and becomes neither a key nor a record', async () => {
    const definition = stringify({
      metadata: { name: 'Keyed', version: '1' },
      'x-run': { concurrency: { key: '${input.customer}', limit: 1 } },
      nodes: { start: script('return { done: true }') },
    })
    const flow = await user.flow(definition)
    for (const input of [{ customer: 'a\u0000b' }, { deep: [{ text: '\u0000' }] }, { 'a\u0000b': 1 }])
      await user.post(`/api/v1/flows/${flow}/run`, { input }).expect(422)
    const { body } = await user.get(`/api/v1/executions?flow_id=${flow}`).expect(200)
    expect(body.executions).toEqual([])
    expect((await user.ended(await user.start(flow, { customer: '\ud800' }))).status).toBe('completed')
  })
})

describe('a server without memory to spare', () => {
  it('refuses executions and says when to come back', async () => {
    const flow = await user.flow({ start: script('return { done: true }') })
    const { memory } = api.app.get(RunEngine)
    memory.hold(Number.MAX_SAFE_INTEGER)
    try {
      const { body, headers } = await user.post(`/api/v1/flows/${flow}/run`, { input: {} }).expect(503)
      expect(body).toMatchObject({ title: 'Overloaded', status: 503 })
      expect(headers['retry-after']).toBe('2')
    } finally {
      memory.release(Number.MAX_SAFE_INTEGER)
    }
    await user.ended(await user.start(flow))
  })
})

describe('executions that ended long ago', () => {
  it('are gone, with their logs and their idempotency keys', async () => {
    const flow = await user.flow({ start: script('return { done: true }') })
    const run = () => user.post(`/api/v1/flows/${flow}/run`, { input: {} }).set('Idempotency-Key', 'once')
    const old = (await run().expect(201)).body.execution_id
    await user.ended(old)
    const kept = await user.start(flow)
    await user.ended(kept)
    // As if it had been started a month ago.
    const gone = `run_${'0'.repeat(26)}`
    for (const table of ['step_outcome', 'run_event_chunk'])
      await database.query(`update ${table} set run_id = $2 where run_id = $1`, [old, gone])
    await database.query(
      `update run set id = $2, created_at = now() - interval '30 days', finished_at = now() - interval '30 days' where id = $1`,
      [old, gone],
    )
    expect((await run().expect(201)).body.execution_id).toBe(gone)
    await database.query('delete from chore')
    await api.app.get(Housekeeping).look()
    await user.get(`/api/v1/executions/${gone}`).expect(404)
    await user.get(`/api/v1/executions/${gone}/logs`).expect(404)
    expect(await user.execution(kept)).toMatchObject({ status: 'completed' })
    expect((await run().expect(201)).body.execution_id).not.toBe(gone)
    await vi.waitFor(async () => {
      const { rows } = await database.query('select 1 from step_outcome where run_id = $1', [gone])
      expect(rows).toEqual([])
    })
  })
})
