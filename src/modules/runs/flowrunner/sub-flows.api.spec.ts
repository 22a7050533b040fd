import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { stringify } from 'yaml'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { definitionOf, type Execution, FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'

const script = (code: string, next?: Record<string, string>) => ({
  type: 'transform',
  params: { script: code },
  ...(next && { next }),
})
const wait = (key: string, next?: Record<string, string>) => ({ type: 'wait', params: { key }, ...(next && { next }) })
const call = (flow: string, more: Record<string, unknown> = {}, next?: Record<string, string>) => ({
  type: 'flow.run',
  params: { flow_id: flow, ...more },
  ...(next && { next }),
})

let api: ApiUnderTest
let user: FlowRunnerUser
let outside: Outside
let database: DataSource

beforeAll(async () => {
  outside = await Outside.start()
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
  database = api.app.get(DataSource)
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

async function children(id: string): Promise<Execution[]> {
  return (await user.get(`/api/v1/executions?parent_id=${id}&limit=100`).expect(200)).body.executions
}

async function child(id: string): Promise<string> {
  return await vi.waitFor(async () => {
    const [only] = await children(id)
    if (!only) throw new Error(`${id} has started nothing`)
    return only.id
  })
}

async function stored(id: string) {
  const [row] = await database.query('select * from run where id = $1', [id])
  return row
}

async function signal(key: string, data: unknown = null): Promise<void> {
  await user.post(`/api/v1/signals/${key}`, { data: data as never }).expect(200)
}

describe('a flow that runs another', () => {
  it('goes on with its result', async () => {
    const double = await user.flow({ start: script('return { twice: input.n * 2 }') })
    const done = await user.outcome({
      start: script('return { n: 21 }', { default: 'call' }),
      call: call(double, { input: { n: '${input.n}' } }, { default: 'end' }),
      end: script('return { answer: input.twice }'),
    })
    expect(done).toMatchObject({ status: 'completed', result: { answer: 42 } })
    expect(done).not.toHaveProperty('parent_id')
    const [below] = await children(done.id)
    expect(below).toMatchObject({ flow_id: double, status: 'completed', parent_id: done.id })
    expect(await user.execution(below?.id ?? '')).toMatchObject({ input: { n: 21 }, parent_id: done.id })
  })

  it('gives it what came in unless told otherwise, and secrets are not part of that', async () => {
    await user.secret('API_TOKEN', 'very-secret-token')
    const echo = await user.flow({ start: script('return { got: input, own: secrets.API_TOKEN === undefined }') })
    const done = await user.outcome({
      start: script('return { order: 7 }', { default: 'one' }),
      one: call(echo, {}, { default: 'two' }),
      two: call(echo, { input: { token: 'x ${secrets.API_TOKEN}', n: '${input.got.order}' } }),
    })
    expect(done.result).toEqual({ got: { token: 'x ***', n: 7 }, own: false })
    const rows = await database.query('select input from run where parent_run_id = $1', [done.id])
    expect(JSON.stringify(rows)).not.toContain('very-secret-token')
  })

  it('can pin its version, and is told when there is no such version', async () => {
    const other = await user.flow({ start: script('return 1') })
    const second = await user.put(`/api/v1/flows/${other}`, {
      definition: definitionOf({ start: script('return 2') }, { version: undefined }),
    })
    expect(second.body.version).toBe('v2')
    const run = (version?: string) => user.outcome({ start: call(other, version === undefined ? {} : { version }) })
    expect((await run()).result).toEqual({ result: 2 })
    expect((await run('latest')).result).toEqual({ result: 2 })
    expect((await run('1.0.0')).result).toEqual({ result: 1 })
    expect((await run('v2')).result).toEqual({ result: 2 })
    expect((await run('v9')).error).toBe(`Flow ${other} has no version 'v9'`)
  })

  it('fails with what the other failed with, along its error edge with the id of that execution', async () => {
    const failing = await user.flow({ start: script('throw new Error("no stock")') })
    const done = await user.outcome({ start: call(failing) })
    expect(done.status).toBe('failed')
    expect(done.error).toContain('no stock')
    const handled = await user.outcome({
      start: call(failing, {}, { error: 'end' }),
      end: script('return { code: error.code, of: error.output }'),
    })
    expect(handled).toMatchObject({
      status: 'completed',
      result: { code: 'subflow_failed', of: { flow_id: failing, id: (await children(handled.id))[0]?.id } },
    })
  })

  it('is told of a flow that is deleted, foreign or not there, in the same words', async () => {
    const stranger = await user.colleague('owner-of-another@example.com')
    const foreign = await stranger.flow({ start: script('return 1') })
    const deleted = await user.flow({ start: script('return 1') })
    await user.delete(`/api/v1/flows/${deleted}`).expect(200)
    for (const flow of [foreign, deleted, 'flow_unknown']) {
      const done = await user.outcome({ start: call(flow, {}, { error: 'end' }), end: script('return error.code') })
      expect(done.result).toEqual({ result: 'subflow_missing' })
      expect((await user.outcome({ start: call(flow) })).error).toBe(`Flow with ID ${flow} not found`)
      expect(await children(done.id)).toEqual([])
    }
    expect((await stranger.get(`/api/v1/executions?flow_id=${foreign}`)).body.total).toBe(0)
  })

  it('cannot start itself for ever', async () => {
    const flow = await user.flow({ start: script('return 1') })
    await user
      .put(`/api/v1/flows/${flow}`, {
        definition: definitionOf({ start: call(flow) }),
      })
      .expect(200)
    const done = await user.ended(await user.start(flow))
    expect(done.error).toContain('flows may start each other at most 16 deep')
    expect((await user.get(`/api/v1/executions?flow_id=${flow}&limit=100`)).body.total).toBe(17)
  })

  it('goes on at once where it does not wait, and whatever becomes of it the other goes on', async () => {
    const other = await user.flow({ start: wait('let-it-end') })
    const done = await user.outcome({
      start: call(other, { wait: false }, { default: 'end' }),
      end: script('return { started: input }'),
    })
    const [below] = await children(done.id)
    expect(done.result).toEqual({ started: { id: below?.id, flow_id: other } })
    expect(below?.status).toBe('running')
    const failed = await user.outcome({
      start: call(other, { wait: false }, { default: 'end' }),
      end: script('throw new Error("no")'),
    })
    expect(failed.status).toBe('failed')
    const [ofFailed] = await children(failed.id)
    expect(ofFailed?.status).toBe('running')
    for (const id of [below?.id, ofFailed?.id]) await user.waits(id ?? '')
    await signal('let-it-end')
    for (const id of [below?.id, ofFailed?.id]) expect((await user.ended(id ?? '')).status).toBe('completed')
  })

  it('is not in memory while it waits, and is woken by the end of the other', async () => {
    const other = await user.flow({ start: wait('wake-both') })
    const id = await user.start(
      await user.flow({ start: call(other, {}, { default: 'end' }), end: script('return input') }),
    )
    await vi.waitFor(async () => expect(await stored(id)).toMatchObject({ state: 'waiting', owner: null }), {
      timeout: 10_000,
    })
    await signal('wake-both', { ok: true })
    expect(await user.ended(id)).toMatchObject({ status: 'completed', result: { data: { ok: true } } })
    expect(await children(id)).toHaveLength(1)
  })

  it('keeps to the limits that its flow asks for, and frees its slot while it waits', async () => {
    const limited = { 'x-run': { concurrency: { limit: 1 }, priority: 5 } }
    const text = (nodes: object) => stringify({ metadata: { name: 'Spec' }, ...limited, nodes })
    const flow = await user.flow(text({ start: script('return 1') }))
    await user
      .put(`/api/v1/flows/${flow}`, {
        definition: text({
          start: {
            type: 'condition',
            params: { condition_script: "return shared.left > 0 ? 'more' : 'done'" },
            next: { more: 'call', done: 'end' },
          },
          call: call(flow, { input: { left: '${shared.left - 1}' } }, { default: 'end' }),
          end: script('return { times: (input.times || 0) + 1 }'),
        }),
      })
      .expect(200)
    const parent = await user.flow({ start: call(flow, { input: { left: 2 } }) })
    const done = await user.ended(await user.start(parent))
    expect(done).toMatchObject({ status: 'completed', result: { times: 3 } })
    const rows = await database.query(
      'select concurrency_key, concurrency_limit, priority from run where flow_id = $1 and depth > 0',
      [flow],
    )
    expect(rows).toEqual(Array(3).fill({ concurrency_key: `${flow}:`, concurrency_limit: 1, priority: 5 }))
  })

  it('tries again with another execution', async () => {
    let asked = 0
    outside.answer('/flaky-child', (_, response) => json(response, ++asked < 3 ? 500 : 200, { asked }))
    const other = await user.flow({ start: { type: 'http.request', params: { url: outside.url('/flaky-child') } } })
    const done = await user.outcome({ start: { ...call(other), retry: { max_retries: 3, wait: '1ms' } } })
    expect(done.status).toBe('completed')
    expect((await children(done.id)).map(({ status }) => status)).toEqual(['completed', 'failed', 'failed'])
  })
})

describe('a batch of flows', () => {
  it('runs one for each item, at most as many at once as asked for, and keeps their order', async () => {
    const other = await user.flow({ start: script('return { item: input }') })
    const items = Array.from({ length: 60 }, (_, index) => index)
    const done = await user.outcome(
      {
        start: {
          type: 'flow.run',
          params: { flow_id: other, items: '${input.items}' },
          batch: { strategy: 'parallel', max_parallel: 7 },
        },
      },
      { items },
    )
    expect(done.result).toEqual({ result: items.map((item) => ({ item })) })
    expect((await user.get(`/api/v1/executions?parent_id=${done.id}`)).body.total).toBe(60)
  })

  it('waits outside memory for those that take long, and cancels the others when one fails', async () => {
    const other = await user.flow({
      start: wait('item-${input}', { default: 'end' }),
      end: script('return results.start.data.ok()'),
    })
    const id = await user.start(
      await user.flow({
        start: {
          type: 'flow.run',
          params: { flow_id: other, items: [0, 1, 2, 3] },
          batch: { strategy: 'parallel', max_parallel: 3 },
          next: { error: 'end' },
        },
        end: wait('after-batch'),
      }),
    )
    await vi.waitFor(async () => expect(await stored(id)).toMatchObject({ state: 'waiting' }), { timeout: 10_000 })
    expect(await children(id)).toHaveLength(3)
    await signal('item-1')
    await vi.waitFor(
      async () =>
        expect((await children(id)).map(({ status }) => status).sort()).toEqual(['cancelled', 'cancelled', 'failed']),
      { timeout: 10_000 },
    )
    expect((await user.execution(id)).status).toBe('running')
    await signal('after-batch')
    expect((await user.ended(id)).status).toBe('completed')
  })

  it('of more parents than the process has places ends', async () => {
    const small = await apiUnderTest({ MAX_ACTIVE_RUNS: '40' })
    onTestFinished(() => small.close())
    const user = await FlowRunnerUser.login(small)
    const leaf = await user.flow({ start: script('return { leaf: input }') })
    const parent = await user.flow({
      start: { type: 'flow.run', params: { flow_id: leaf, items: [1, 2, 3] }, batch: { strategy: 'parallel' } },
    })
    const done = await user.outcome(
      {
        start: {
          type: 'flow.run',
          params: { flow_id: parent, items: '${input.items}' },
          batch: { strategy: 'parallel', max_parallel: 60 },
        },
      },
      { items: Array.from({ length: 60 }, (_, index) => index) },
    )
    expect(done.status).toBe('completed')
    expect(done.result.result).toHaveLength(60)
  }, 60_000)
})

describe('a cancel', () => {
  it('reaches everything below, also what nobody waits for and what lies behind executions that have ended', async () => {
    const leaf = await user.flow({ start: wait('never-for-leaf') })
    const behind = await user.flow({ start: call(leaf, { wait: false }) })
    const middle = await user.flow({ start: call(behind, {}, { default: 'next' }), next: call(leaf) })
    const id = await user.start(await user.flow({ start: call(middle) }))
    const all = await vi.waitFor(async () => {
      const rows: { id: string; state: string }[] = await database.query(
        `with recursive below as (select id, state from run where parent_run_id = $1
          union all select r.id, r.state from run r join below b on r.parent_run_id = b.id) select * from below`,
        [id],
      )
      expect(rows).toHaveLength(4)
      return rows
    })
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    const states = new Map<string, string>()
    for (const row of all) states.set(row.id, (await user.execution(row.id)).status)
    expect([...states.values()].sort()).toEqual(['cancelled', 'cancelled', 'cancelled', 'completed'])
    const audit = await database.query(`select * from audit_entry where action = 'run.cancel' and resource_id = $1`, [
      id,
    ])
    expect(audit).toMatchObject([{ actor_id: user.accountId, after: { below: 3 } }])
    expect(await database.query('select * from signal_wait where run_id = any ($1)', [[...states.keys()]])).toEqual([])
  })

  it('of the execution below is a failure above, which can be handled', async () => {
    const other = await user.flow({ start: wait('never-for-below') })
    const flow = await user.flow({
      start: call(other, {}, { error: 'end' }),
      end: script('return { code: error.code, id: error.output.id }'),
    })
    const id = await user.start(flow)
    const below = await child(id)
    await user.delete(`/api/v1/executions/${below}`).expect(200)
    expect(await user.ended(id)).toMatchObject({
      status: 'completed',
      result: { code: 'subflow_cancelled', id: below },
    })
  })

  it('aborts a request that is under way below', async () => {
    const other = await user.flow({ start: { type: 'http.request', params: { url: outside.url('/never') } } })
    const arrival = outside.arrival('/never')
    const id = await user.start(await user.flow({ start: call(other) }))
    const { gone } = await arrival
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    await gone
  })

  it('and the ends of executions below come to one end for each, whichever is first', async () => {
    const other = await user.flow({ start: script('return 1') })
    const flow = await user.flow({ start: call(other, {}, { default: 'end' }), end: script('return 2') })
    const ids = await Promise.all(Array.from({ length: 40 }, () => user.start(flow)))
    const answers = await Promise.all(ids.map((id) => user.delete(`/api/v1/executions/${id}`)))
    const ended = await Promise.all(ids.map((id) => user.ended(id)))
    for (const [index, { status }] of ended.entries())
      expect(status).toBe(answers[index]?.status === 200 ? 'cancelled' : 'completed')
    for (const id of ids)
      for (const below of await children(id))
        expect(['cancelled', 'completed']).toContain((await user.ended(below.id)).status)
    const late = await database.query(
      `select c.id from run c join run p on p.id = c.parent_run_id where p.state = 'cancelled' and c.created_at > p.finished_at
        and c.finished_at is null`,
    )
    expect(late).toEqual([])
  })
})
