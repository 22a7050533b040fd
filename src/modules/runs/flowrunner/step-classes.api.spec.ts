import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'

let api: ApiUnderTest
let user: FlowRunnerUser
let outside: Outside

beforeAll(async () => {
  outside = await Outside.start()
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

const script = (code: string) => ({ type: 'transform', params: { script: code } })

describe('a stored value', () => {
  it('counts every item of a parallel batch once', async () => {
    const ended = await user.outcome({
      count: {
        type: 'store',
        params: { operation: 'increment', key: 'counted', items: '${Array.from({ length: 300 }, (_, i) => i)}' },
        batch: { strategy: 'parallel', max_parallel: 50, 'x-collect': false },
        next: { default: 'read' },
      },
      read: {
        type: 'store',
        params: { operation: 'get', key: 'counted' },
        hooks: { post: 'return { counted: result, counts: results.count }' },
      },
    })
    expect(ended).toMatchObject({
      status: 'completed',
      result: { counted: 300, counts: { total: 300, succeeded: 300, failed: 0 } },
    })
  })

  it('does not change where a hook fails after it', async () => {
    const ended = await user.outcome({
      set: {
        type: 'store',
        params: { operation: 'set', key: 'undone', value: 1 },
        hooks: { post: 'throw new Error("not like this")' },
        next: { error: 'list' },
      },
      list: { type: 'store', params: { operation: 'list' } },
    })
    expect(ended.status).toBe('completed')
    expect(ended.result.result).not.toContain('undone')
  })
})

describe('a node that must never run twice', () => {
  const charge = (more: object = {}) => ({
    type: 'http.request',
    'x-guarantee': 'at_most_once',
    params: { url: outside.url('/charge'), method: 'POST', body: { amount: 5 } },
    ...more,
  })

  it('is tried again after a failure that is known, always with the same key', async () => {
    let calls = 0
    outside.answer('/charge', (_, response) => json(response, ++calls < 3 ? 503 : 200, { charged: true }))
    const ended = await user.outcome({ charge: charge({ retry: { max_retries: 3, wait: '1ms' } }) })
    expect(ended).toMatchObject({ status: 'completed', result: { body: { charged: true } } })
    expect(new Set(outside.at('/charge').map(({ headers }) => headers['idempotency-key']))).toEqual(
      new Set([`${ended.id}:charge`]),
    )
    expect(calls).toBe(3)
  })
})

describe('a definition', () => {
  it('is refused where it asks for what cannot be, at its place', async () => {
    const definition = `x-run: {priority: 1000, concurrency: {key: '\${secrets.KEY}', limit: 1}}
metadata: {name: refused}
nodes:
  a: {type: store, params: {operation: set, key: k, value: 1}, x-guarantee: at_most_once}
`
    const { body } = await user.post('/api/v1/flows', { name: 'refused', definition }).expect(422)
    expect(body.errors ?? body.faults).toMatchObject([
      { path: '/x-run/priority', line: 1, code: 'range' },
      { path: '/x-run/concurrency/key', line: 1, code: 'expression' },
      { path: '/nodes/a/x-guarantee', line: 4, code: 'guarantee' },
    ])
  })

  it('may say how its runs are to be treated', async () => {
    const definition = `x-run: {priority: 5, concurrency: {key: 'for \${input.who}', limit: 2}}
metadata: {name: settled}
nodes:
  a: {type: transform, params: {script: 'return {ok: true}'}}
`
    await user.post('/api/v1/flows', { name: 'settled', definition }).expect(201)
  })
})

describe('a batch that does not collect', () => {
  it('tells the node behind its error edge how far it came', async () => {
    const ended = await user.outcome({
      each: {
        type: 'transform',
        params: { script: 'if (item === 2) throw new Error("item 2"); return item', items: [0, 1, 2, 3] },
        batch: { strategy: 'serial', 'x-collect': false },
        next: { error: 'tell' },
      },
      tell: script('return { counts: error.output, why: error.message }'),
    })
    expect(ended.result).toMatchObject({
      counts: { total: 4, succeeded: 2, failed: 1 },
      why: expect.stringContaining('item 2'),
    })
  })
})
