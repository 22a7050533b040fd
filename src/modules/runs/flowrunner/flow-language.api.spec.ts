import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'

const script = (code: string, next?: Record<string, string>) => ({
  type: 'transform',
  params: { script: code },
  ...(next && { next }),
})

let api: ApiUnderTest
let user: FlowRunnerUser
let outside: Outside

beforeAll(async () => {
  outside = await Outside.start()
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1', SCRIPT_TIMEOUT_MS: '2000' })
  user = await FlowRunnerUser.login(api)
})

afterAll(async () => {
  await api.close()
  await outside.stop()
})

describe('a result', () => {
  it.each([
    ['return { a: 1 }', { a: 1 }],
    ['return [1, 2]', { result: [1, 2] }],
    ['return "text"', { result: 'text' }],
    ['return 0', { result: 0 }],
    ['return null', { result: null }],
    ['', { result: null }],
    ['return { nul: "\\u0000", not: undefined, big: 1e400 }', expect.any(Object)],
  ])('of the script %s is an object', async (code, result) => {
    expect(await user.outcome({ start: script(code || 'void 0') })).toMatchObject({ status: 'completed', result })
  })
})

describe('a failure', () => {
  it.each([
    [script('throw new Error("no stock")'), /no stock/],
    [script('return input.missing.member'), /undefined|null/i],
    [script('return secrets.NOT_THERE.length'), /NOT_THERE|undefined/i],
    [{ type: 'http.request', params: { url: '${nothing.here}' } }, /nothing/],
    [{ type: 'http.request', params: { url: '${secrets.NOT_THERE}' } }, /NOT_THERE/],
    [{ type: 'http.request', params: { url: '${input.url}' } }, /url/i],
    [{ type: 'http.request', params: { url: 'http://192.168.0.1/' } }, /not allowed|refused|private/i],
    [{ type: 'store', params: { operation: 'get', key: 'no such key' } }, /^key not found: no such key$/],
    [{ type: 'delay', params: { duration: '${input}' } }, /duration/],
    [script('while (true) {}'), /^the script ran longer than 2000 ms$/],
    [script('const all = []; while (true) all.push(new Array(1e6).fill("x"))'), /memory/i],
    [script('return process.env'), /process/],
    [script('return require("fs")'), /require/],
  ])('says why: %j', async (node, words) => {
    const failed = await user.outcome({ start: node })
    expect(failed.status).toBe('failed')
    expect(failed.error).toMatch(words)
    expect(failed).not.toHaveProperty('result')
    const log = await user.logs(failed.id)
    expect(log.at(-1)).toMatchObject({ level: 'error', message: 'Execution failed', data: { error: failed.error } })
  })

  it('of an HTTP request takes the edge of its kind, then the error edge, and else fails in the documented words', async () => {
    const call = (status: number, next?: Record<string, string>) =>
      user.outcome({
        start: { type: 'http.request', params: { url: outside.url(`/status/${status}`) }, ...(next && { next }) },
        ...(next && { other: script('return { took: error ? error.message : "default" }') }),
      })
    expect((await call(404)).error).toBe('HTTP request failed with status 404')
    expect((await call(503, { default: 'other' })).error).toBe('HTTP request failed with status 503')
    expect((await call(503, { error: 'other' })).result).toEqual({ took: 'HTTP request failed with status 503' })
    expect((await call(503, { server_error: 'other' })).result.took).toBe('HTTP request failed with status 503')
    expect((await call(404, { client_error: 'other' })).result.took).toBe('HTTP request failed with status 404')
    expect((await call(404, { server_error: 'other' })).status).toBe('failed')
    expect((await call(201, { success: 'other' })).result).toEqual({ took: 'default' })
    expect((await call(200, { default: 'other' })).result).toEqual({ took: 'default' })
  })
})

describe('expressions', () => {
  it('stand for values, inside of texts, in lists and in keys', async () => {
    const { result, error } = await user.outcome(
      {
        start: script('return { items: [1, 2], name: "Ann" }', { default: 'call' }),
        call: {
          type: 'http.request',
          params: {
            method: 'POST',
            url: outside.url('/echo?user=${shared.user_id}'),
            headers: { 'X-${shared.header}': '${input.items.length}' },
            body: {
              whole: '${input.items}',
              embedded: 'Hello ${input.name}, ${1 + 1} times',
              list: ['${input.items.map(i => i * 2)}', 'plain'],
              nested: { '${input.name.toLowerCase()}_key': '${results.start.items[1]}' },
              run: '${execution.id} of ${execution.flow_id}',
              last: '${result.name}',
            },
          },
        },
      },
      { user_id: 7, header: 'Count' },
    )
    expect(error).toBeUndefined()
    const [request] = outside.at('/echo')
    expect(result.body.path).toBe('/echo?user=7')
    expect(request?.headers['x-count']).toBe('2')
    expect(JSON.parse(request?.body ?? '')).toEqual({
      whole: [1, 2],
      embedded: 'Hello Ann, 2 times',
      list: [[2, 4], 'plain'],
      nested: { ann_key: 2 },
      run: expect.stringMatching(/^run_\w+ of flow_\w+$/),
      last: 'Ann',
    })
  })
})

describe('control of the flow', () => {
  it('goes the way that a condition says', async () => {
    const decide = async (params: object, input: object) =>
      (
        await user.outcome(
          {
            start: { type: 'condition', params, next: { true: 'yes', high: 'high', default: 'other' } },
            yes: script('return "yes"'),
            high: script('return "high"'),
            other: script('return "other"'),
          },
          input,
        )
      ).result.result
    expect(await decide({ condition_script: 'return input.n > 1' }, { n: 2 })).toBe('yes')
    expect(await decide({ condition_script: 'return input.n > 1' }, { n: 0 })).toBe('other')
    const conditions = [
      { condition: 'input.n > 100', action: 'high' },
      { condition: 'input.n > 10', action: 'true' },
    ]
    expect(await decide({ conditions }, { n: 500 })).toBe('high')
    expect(await decide({ conditions, default_action: 'none' }, { n: 1 })).toBe('other')
  })

  it('tries again as often as it is told, with one idempotency key', async () => {
    const answers = [500, 503, 200]
    outside.answer('/flaky', (_, response) => json(response, answers.shift() ?? 500, { done: true }))
    const flow = {
      start: {
        type: 'http.request',
        params: { method: 'POST', url: outside.url('/flaky') },
        retry: { max_retries: 3, wait: '1ms' },
      },
    }
    expect((await user.outcome(flow)).result).toMatchObject({ status_code: 200, body: { done: true } })
    expect(new Set(outside.at('/flaky').map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
    const failed = await user.outcome(flow)
    expect(failed.error).toBe('HTTP request failed with status 500')
    expect(outside.at('/flaky')).toHaveLength(6)
  })

  it('runs hooks before, in place of and after the work', async () => {
    const { result } = await user.outcome(
      {
        start: {
          type: 'http.request',
          params: { url: outside.url('/echo') },
          hooks: {
            prep: `params.url = params.url + '?via=' + input.via; return { params }`,
            post: 'return { path: result.body.path, status: result.status_code }',
          },
          next: { default: 'end' },
        },
        end: {
          type: 'http.request',
          params: { url: outside.url('/untouched') },
          hooks: { exec: 'return { ...input, replaced: true }' },
        },
      },
      { via: 'prep' },
    )
    expect(result).toEqual({ path: '/echo?via=prep', status: 200, replaced: true })
    expect(outside.at('/untouched')).toEqual([])
  })

  it.each([
    ['serial', undefined, 1],
    ['parallel', undefined, 6],
    ['parallel', 2, 2],
    ['async', undefined, 6],
    ['worker_pool', 3, 3],
  ])('works through a batch: %s, %s at a time', async (strategy, most, expected) => {
    let now = 0
    let peak = 0
    const held: (() => void)[] = []
    // Answers once as many requests as the strategy allows are there together, or all that are left.
    let left = 6
    outside.answer('/item', (request, response) => {
      now += 1
      peak = Math.max(peak, now)
      held.push(() => {
        now -= 1
        left -= 1
        json(response, 200, { n: Number(new URL(request.path, 'http://x').searchParams.get('n')) })
      })
      if (held.length >= Math.min(expected, left)) for (const answer of held.splice(0).reverse()) answer()
    })
    const { result } = await user.outcome(
      {
        start: {
          type: 'http.request',
          params: { items: '${input.numbers}', url: outside.url('/item?n=${item}&at=${index}') },
          batch: { strategy, ...(most && { max_parallel: most }) },
          next: { default: 'end' },
        },
        end: script('return input.map(one => one.body.n)'),
      },
      { numbers: [1, 2, 3, 4, 5, 6] },
    )
    expect(result).toEqual({ result: [1, 2, 3, 4, 5, 6] })
    expect(peak).toBe(expected)
  })
})

it('answers other requests while a script takes all the time that it may', async () => {
  const id = await user.start(await user.flow({ start: script('console.log("begun"); while (true) {}') }))
  // How often both are answered meanwhile is the machine's affair; a server that stood still would answer neither before the end.
  let answered = 0
  while ((await user.execution(id)).status === 'running') {
    answered++
    await api.get('/api/health').expect(200)
  }
  expect(answered).toBeGreaterThan(3)
  expect((await user.execution(id)).error).toBe('the script ran longer than 2000 ms')
})

describe('a secret', () => {
  const VALUE = 'k3y/with+signs "and" ümlaut'

  it('reaches those whom the flow calls, and is masked wherever the flow shows it', async () => {
    await user.secret('API_KEY', VALUE)
    outside.answer('/reflect', (request, response) =>
      json(response, 200, { headers: request.headers, path: request.path }),
    )
    const id = await user.start(
      await user.flow({
        start: {
          type: 'http.request',
          params: {
            url: outside.url('/reflect?key=${encodeURIComponent(secrets.API_KEY)}'),
            headers: { 'X-Encoded': '${encodeURIComponent(secrets.API_KEY)}' },
            auth: { username: 'me', password: '${secrets.API_KEY}' },
          },
          next: { default: 'show' },
        },
        show: script(
          'console.log("the key is " + secrets.API_KEY); return { key: secrets.API_KEY, list: [{ ["k" + secrets.API_KEY]: 1 }], got: input }',
          { default: 'fail' },
        ),
        fail: script('throw new Error("cannot use " + secrets.API_KEY)'),
      }),
    )
    const watcher = user.watch(id)
    const failed = await user.ended(id)
    expect(await watcher.closed()).toBe(1000)
    const [request] = outside.at('/reflect')
    expect(request?.headers['x-encoded']).toBe(encodeURIComponent(VALUE))
    expect(request?.headers.authorization).toBe(`Basic ${Buffer.from(`me:${VALUE}`).toString('base64')}`)
    expect(failed.error).toMatch(/^cannot use \*+/)
    const told = JSON.stringify([failed, await user.logs(id), watcher.messages])
    expect(told).toContain('the key is ***')
    expect(watcher.of('node_completed').find(({ node_id }) => node_id === 'show')?.result.key).toMatch(/^\*+$/)
    const base64 = Buffer.from(`me:${VALUE}`).toString('base64')
    for (const spelling of [
      VALUE,
      JSON.stringify(VALUE).slice(1, -1),
      encodeURIComponent(VALUE),
      base64,
      base64.slice(8, -4),
    ])
      expect(told).not.toContain(spelling)
  })

  it('is not left behind where it could be read later: in the store, or in what a schedule hands on', async () => {
    const key = 'left-behind'
    await user.outcome({
      start: { type: 'store', params: { operation: 'set', key, value: { key: '${secrets.API_KEY}' } } },
    })
    const { result } = await user.outcome({
      start: { type: 'store', params: { operation: 'get', key }, next: { default: 'end' } },
      end: script('return { is_secret: input.key === secrets.API_KEY, ...input }'),
    })
    expect(result).toEqual({ is_secret: false, key: expect.stringMatching(/^\*+$/) })
    const flow = await user.flow({
      start: {
        type: 'cron',
        params: { schedule: '* * * * * *', id: key, payload: { key: '${secrets.API_KEY}' }, node_id: 'end' },
      },
      end: { type: 'cron', params: { operation: 'delete', id: key } },
    })
    const first = await user.ended(await user.start(flow))
    const fired = await vi.waitFor(
      async () => {
        const { body } = await user.get(`/api/v1/executions?flow_id=${flow}`).expect(200)
        const other = body.executions.find(({ id }: { id: string }) => id !== first.id)
        if (!other) throw new Error('nothing was started yet')
        return await user.ended(other.id)
      },
      { timeout: 10_000, interval: 100 },
    )
    expect(fired.input).toEqual({ key: expect.stringMatching(/^\*+$/) })
  })

  it('is masked in a result', async () => {
    const { result } = await user.outcome({
      start: script('return { key: secrets.API_KEY, length: secrets.API_KEY.length }'),
    })
    expect(result).toEqual({ key: expect.stringMatching(/^\*+$/), length: VALUE.length })
  })
})

describe('waiting for an event', () => {
  const order = {
    start: {
      type: 'wait',
      params: { key: 'order-${input.id}', timeout: '${input.timeout}' },
      next: { default: 'end', timeout: 'late' },
    },
    end: script('return { paid: input.data.paid }'),
    late: script('return { late: error.message }'),
  }
  const send = (key: string, body: object) => user.post(`/api/v1/signals/${encodeURIComponent(key)}`, body).expect(200)

  it('goes on when the signal comes, before or after the wait began', async () => {
    const flow = await user.flow(order)
    const first = await user.start(flow, { id: '1/ä', timeout: '1m' })
    await vi.waitFor(async () => expect(await user.logs(first)).toHaveLength(1))
    const delivery = await vi.waitFor(async () => {
      const { body } = await send('order-1/ä', { data: { paid: true } })
      if (body.delivered === 0) throw new Error('nobody waits yet')
      return body
    })
    expect(delivery).toEqual({ key: 'order-1/ä', delivered: 1, kept: false })
    expect((await user.ended(first)).result).toEqual({ paid: true })
    const kept = await send('order-2', { data: { paid: 'early' } })
    expect(kept.body).toEqual({ key: 'order-2', delivered: 0, kept: true })
    expect((await user.ended(await user.start(flow, { id: 2, timeout: '1m' }))).result).toEqual({ paid: 'early' })
  })

  it("takes the timeout's edge when it does not come, and never another account's signal", async () => {
    const id = await user.start(await user.flow(order), { id: 3, timeout: '100ms' })
    const stranger = await user.colleague('signals@example.com')
    const { body } = await stranger.post('/api/v1/signals/order-3', { data: { paid: 'forged' } }).expect(200)
    expect(body.delivered).toBe(0)
    expect((await user.ended(id)).result).toEqual({ late: "no event 'order-3' came within 100ms" })
  })
})

it('a signal that no step can wait for is refused', async () => {
  await user.post(`/api/v1/signals/${'k'.repeat(255)}`, {}).expect(200)
  await user.post(`/api/v1/signals/${'k'.repeat(256)}`, {}).expect(400)
  await user.post('/api/v1/signals/k', { data: '\0' }).expect(422)
  await user.post('/api/v1/signals/k', { payload: 1 }).expect(422)
})

describe('the store', () => {
  it('keeps values from one execution to the next, of the account alone', async () => {
    const write = { start: { type: 'store', params: { operation: 'set', key: 'cursor', value: '${input}' } } }
    const read = { start: { type: 'store', params: { operation: 'get', key: 'cursor' } } }
    await user.outcome(write, { page: 7 })
    expect((await user.outcome(read)).result).toEqual({ page: 7 })
    const stranger = await user.colleague('store@example.com')
    expect((await stranger.outcome(read)).error).toBe('key not found: cursor')
  })

  it('counts without losing a step, however many count at once', async () => {
    const flow = await user.flow({ start: { type: 'store', params: { operation: 'increment', key: 'visits' } } })
    const ids = await Promise.all(Array.from({ length: 20 }, () => user.start(flow)))
    const counted = await Promise.all(ids.map(async (id) => (await user.ended(id)).result.new_value))
    expect(counted.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
  })
})

it('a schedule starts executions behind its cron node until it is deleted', async () => {
  const flow = await user.flow({
    start: {
      type: 'cron',
      params: { schedule: '* * * * * *', id: 'every-second', payload: { report: 'daily' } },
      next: { scheduled: 'work', default: 'work' },
    },
    work: script('return { ran: input.report ?? "at once" }'),
  })
  const first = await user.ended(await user.start(flow))
  expect(first.result).toEqual({ ran: 'at once' })
  const listed = await user.outcome({ start: { type: 'cron', params: { operation: 'list' } } })
  expect(listed.result.jobs).toEqual([
    expect.objectContaining({ id: 'every-second', schedule: '* * * * * *', flow_id: flow, node_id: 'work' }),
  ])
  const fired = await vi.waitFor(
    async () => {
      const { body } = await user.get(`/api/v1/executions?flow_id=${flow}&status=completed`).expect(200)
      const other = body.executions.find(({ id }: { id: string }) => id !== first.id)
      if (!other) throw new Error('nothing was started yet')
      return await user.execution(other.id)
    },
    { timeout: 10_000, interval: 100 },
  )
  expect(fired).toMatchObject({ input: { report: 'daily' }, result: { ran: 'daily' } })
  const job = await user.outcome({ start: { type: 'cron', params: { operation: 'get', id: 'every-second' } } })
  expect(job.result.executions).toContainEqual(expect.objectContaining({ id: fired.id, status: 'completed' }))
  const deletion = { start: { type: 'cron', params: { operation: 'delete', id: 'every-second' } } }
  expect((await user.outcome(deletion)).result).toEqual({ deleted: true, id: 'every-second' })
  expect((await user.outcome(deletion)).error).toBe('cron job not found: every-second')
  expect((await user.outcome({ start: { type: 'cron', params: { operation: 'list' } } })).result.jobs).toEqual([])
})
