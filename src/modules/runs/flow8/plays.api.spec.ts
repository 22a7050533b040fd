import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { json, Outside } from '../../../../test/support/outside.js'
import * as examples from './plays.examples.js'

type Layer = { ref: string; appId: string; index: number } & Record<string, unknown>

interface PlayLayer {
  id: string
  ref: string
  state: string
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is up to each layer
  [member: string]: any
}

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

const set = (ref: string, index: number, values: object, more: object = {}): Layer => ({
  ref,
  appId: 'var',
  index,
  args: { values },
  ...more,
})

async function flow(layers: Layer[], more: object = {}): Promise<{ id: string; layers: PlayLayer[] }> {
  return (await user.post('/api/flows', { name: 'Spec', layers, ...more }).expect(201)).body
}

async function started(flowId: string, args: object = {}): Promise<string> {
  return (await user.post(`/api/flows/${flowId}/run`, { args }).expect(201)).body.playId
}

async function play(layers: Layer[], args: object = {}): Promise<string> {
  return await started((await flow(layers)).id, args)
}

async function layersOf(id: string, query = '?size=100'): Promise<PlayLayer[]> {
  return (await user.get(`/api/plays/${id}/layers${query}`).expect(200)).body.data
}

/** Waits until a play stands so. */
async function until(id: string, state: string) {
  return await vi.waitFor(
    async () => {
      const { body } = await user.get(`/api/plays/${id}`).expect(200)
      if (body.state !== state) throw new Error(`${id} is ${JSON.stringify(body)}`)
      return body
    },
    { interval: 25 },
  )
}

/** How the layers stand, each by its place. */
function standing(layers: PlayLayer[]): string[] {
  return layers.map(({ path, ref, state }) => `${path ?? ref} ${state}`)
}

const approve = (by: FlowRunnerUser, id: string, body: object) => by.post(`/api/plays/${id}/approve`, body)

const ASK = (more: object = {}) => [
  set('ask', 0, { asked: true }, { needsApproval: true, ...more }),
  set('go', 1, { went: true }),
]

async function member(email: string, role: string): Promise<FlowRunnerUser> {
  const password = 'correct horse battery'
  await user.post('/api/v1/accounts', { name: email, email, password, role }).expect(201)
  return await FlowRunnerUser.login(api, { email, password })
}

describe('a play', () => {
  it('is started, read and done', async () => {
    const { id: flowId } = await flow([
      set('order', 0, { id: '{{ $prev.args.orderId }}' }),
      set('told', 1, { text: 'order {{ $prev.order.id }}' }),
    ])
    const accepted = await user.post(`/api/flows/${flowId}/run`, { args: { orderId: 'A-17' } }).expect(201)
    expect(Object.keys(accepted.body)).toEqual(Object.keys(examples.accepted))
    expect(accepted.body).toMatchObject({ playId: expect.stringMatching(/^run_/), state: 'RUN' })
    expect(accepted.headers.location).toBe(`/api/plays/${accepted.body.playId}`)
    const body = await until(accepted.body.playId, 'DONE')
    expect(Object.keys(body).sort()).toEqual(Object.keys(examples.play).sort())
    expect(body).toEqual({
      id: accepted.body.playId,
      flowId,
      state: 'DONE',
      startedAt: accepted.body.startedAt,
      completedAt: expect.any(String),
      duration: Date.parse(body.completedAt) - Date.parse(body.startedAt),
      args: { orderId: 'A-17' },
      out: { text: 'order A-17' },
      error: null,
    })
  })

  it('is the same for the same key, in the body or in the header', async () => {
    const { id } = await flow([set('a', 0, {})])
    const run = (body: object) => user.post(`/api/flows/${id}/run`, body)
    const first = await run({ args: { n: 1 }, idempotencyKey: 'once' }).expect(201)
    const again = await run({ args: { n: 1 }, idempotencyKey: 'once' }).expect(201)
    const header = await run({ args: { n: 1 } })
      .set('Idempotency-Key', 'once')
      .expect(201)
    expect([again.body.playId, header.body.playId]).toEqual([first.body.playId, first.body.playId])
    const refused = await run({ args: { n: 2 }, idempotencyKey: 'once' }).expect(422)
    expect(refused.body).toMatchObject({ type: '/problems/idempotency-key-reused', statusCode: 422 })
    const other = await run({ args: { n: 1 }, idempotencyKey: 'twice' })
      .set('Idempotency-Key', 'once')
      .expect(201)
    expect(other.body.playId).not.toBe(first.body.playId)
    await run({ idempotencyKey: 'not one word' }).expect(422)
  })

  it('is one, however many start it with the same key at once', async () => {
    const { id } = await flow([set('a', 0, {})])
    const body = { args: {}, idempotencyKey: 'race' }
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => user.post(`/api/flows/${id}/run`, body).expect(201)),
    )
    expect(new Set(answers.map((answer) => answer.body.playId)).size).toBe(1)
    expect((await user.get(`/api/plays?flowId=${id}`).expect(200)).body.total).toBe(1)
  })

  it('of a disabled flow has to be forced, on every surface that can', async () => {
    const { id } = await flow([set('a', 0, {})], { enabled: false })
    const refused = await user.post(`/api/flows/${id}/run`).expect(409)
    expect(refused.body).toMatchObject({
      type: '/problems/flow-disabled',
      error: 'CONFLICT',
      message: `Flow ${id} is disabled`,
      statusCode: 409,
    })
    await user.post(`/api/v1/flows/${id}/run`).expect(409)
    const { body } = await user.post(`/api/flows/${id}/run`, { force: true }).expect(201)
    await until(body.playId, 'DONE')
  })

  it('that fails says why, and where', async () => {
    const id = await play([
      set('a', 0, {}),
      { ref: 'call', appId: 'curl', index: 1, args: { url: outside.url('/status/500'), failOnError: true } },
    ])
    const body = await until(id, 'FAIL')
    expect(body).toMatchObject({
      out: null,
      error: { message: 'the server answered with status 500', code: 'http_status', ref: 'call' },
    })
    const [, call] = await layersOf(id)
    expect(call).toMatchObject({ state: 'FAIL', out: null, attempts: 1, error: { message: body.error.message } })
  })

  it('is cancelled, once', async () => {
    const id = await play([
      set('a', 0, {}),
      { ref: 'rest', appId: 'delay', index: 1, args: { duration: '1h' } },
      set('b', 2, {}),
    ])
    await until(id, 'DEFERRED')
    expect(standing(await layersOf(id))).toEqual(['a DONE', 'rest DEFERRED', 'b NEW'])
    await user.delete(`/api/plays/${id}`).expect(204)
    expect(await until(id, 'SKIP')).toMatchObject({ out: null, error: null })
    expect(standing(await layersOf(id))).toEqual(['a DONE', 'rest SKIP', 'b NEW'])
    const refused = await user.delete(`/api/plays/${id}`).expect(409)
    expect(refused.body).toMatchObject({ type: '/problems/run-finished', statusCode: 409 })
    await user.delete('/api/plays/run_none').expect(404)
  })

  it('is an execution of FlowRunner, whose executions are plays', async () => {
    const id = await play([set('a', 0, { n: 1 })])
    await until(id, 'DONE')
    expect(await user.execution(id)).toMatchObject({ status: 'completed', result: { n: 1 } })
    const execution = await user.start(
      await user.flow({
        start: { type: 'transform', params: { script: 'return 1' }, next: { default: 'end' } },
        end: { type: 'transform', params: { script: 'return { two: input + 1 }' } },
      }),
    )
    expect(await until(execution, 'DONE')).toMatchObject({ out: { two: 2 } })
    expect(await layersOf(execution)).toMatchObject([
      { id: 'start', ref: 'start', name: 'start', appId: 'transform', index: 0, out: 1 },
      { id: 'end', ref: 'end', name: 'end', appId: 'transform', index: 1, out: { two: 2 } },
    ])
  })
})

describe('the list', () => {
  it('has the newest first, in pages, by flow and by state', async () => {
    const { id: flowId } = await flow([set('a', 0, {}, { filters: [], needsApproval: true })])
    const ids: string[] = []
    for (const n of [1, 2, 3]) ids.unshift(await started(flowId, { n }))
    for (const id of ids) await until(id, 'WAIT')
    const list = async (query: string) => (await user.get(`/api/plays?flowId=${flowId}${query}`).expect(200)).body
    const page = await list('&size=2')
    expect(page).toMatchObject({ total: 3, page: 0, size: 2, pages: 2 })
    expect(page.data.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2))
    expect(Object.keys(page.data[0]).sort()).toEqual(Object.keys(examples.playList.data[0] ?? {}).sort())
    expect((await list('&size=2&page=1')).data.map(({ id }: { id: string }) => id)).toEqual(ids.slice(2))
    await user.delete(`/api/plays/${ids[0]}`).expect(204)
    const total = async (state: string) => (await list(`&state=${state}`)).total
    expect(await Promise.all(['WAIT', 'SKIP', 'DEFERRED', 'NEW', 'RUN', 'DONE', 'ON_HOLD'].map(total))).toEqual([
      2, 1, 0, 0, 0, 0, 0,
    ])
    expect((await list('&state=WAIT')).data[0]).toMatchObject({ id: ids[1], state: 'WAIT', completedAt: null })
    await user.get('/api/plays?state=PAUSED').expect(400)
    await user.get('/api/plays?size=0').expect(400)
  })
})

describe('the layers of a play', () => {
  it('stand in the order of the flow, with all that is known of them', async () => {
    const { layers, id: flowId } = await flow([
      set('one', 0, { n: 1 }, { name: 'The first' }),
      set('left', 1, { n: 2 }),
      set('right', 1, { n: 3 }),
      set('never', 2, {}, { filters: [{ leftValue: '{{ $prev.one.n }}', operator: 'eq', rightValue: 2 }] }),
    ])
    const id = await started(flowId)
    await until(id, 'DONE')
    const shown = await layersOf(id)
    expect(standing(shown)).toEqual(['one DONE', 'left DONE', 'right DONE', 'never FILTERED'])
    expect(Object.keys(shown[0] ?? {}).sort()).toEqual(Object.keys(examples.layerList.data[0] ?? {}).sort())
    expect(shown[0]).toEqual({
      id: layers.find(({ ref }) => ref === 'one')?.id,
      ref: 'one',
      state: 'DONE',
      startedAt: expect.any(String),
      completedAt: expect.any(String),
      out: { n: 1 },
      name: 'The first',
      appId: 'var',
      index: 0,
      path: 'one',
      attempts: 1,
      error: null,
      approval: null,
    })
    expect(shown.map(({ index }) => index)).toEqual([0, 1, 1, 2])
    expect(shown.map(({ id }) => id)).toEqual(layers.map(({ id }) => id))
    expect(shown[3]).toMatchObject({ out: null, attempts: 0, startedAt: expect.any(String) })
    const page = (await user.get(`/api/plays/${id}/layers?size=3&page=1`).expect(200)).body
    expect(page).toMatchObject({ data: [{ ref: 'never' }], total: 4, page: 1, size: 3, pages: 2 })
  })

  it('have an entry for each round of a loop', async () => {
    const id = await play(
      [
        { ref: 'each', appId: 'iterator', index: 0, args: { items: '{{ $prev.args.list }}' } },
        set('double', 1, { n: '{{ mul $prev.each.item 2 }}' }),
        { ref: 'all', appId: 'aggregator', index: 2, args: { sourceRef: 'double', field: 'n' } },
      ],
      { list: Array.from({ length: 12 }, (_, n) => n) },
    )
    await until(id, 'DONE')
    const shown = await layersOf(id)
    const rounds = Array.from({ length: 12 }, (_, n) => `each[${n}].double DONE`)
    expect(standing(shown)).toEqual(['each DONE', ...rounds, 'all DONE'])
    expect(shown[12]).toMatchObject({ ref: 'double', path: 'each[11].double', out: { n: 22 } })
    expect((await layersOf(id, '?size=5&page=1')).map(({ path }) => path)).toEqual(
      rounds.slice(4, 9).map((line) => line.split(' ')[0]),
    )
  })

  it('tell of the attempts that failed while the next one is waited for', async () => {
    outside.answer('/flaky', (_, response) => json(response, 503, {}))
    const id = await play([
      {
        ref: 'call',
        appId: 'curl',
        index: 0,
        args: { url: outside.url('/flaky'), failOnError: true },
        retry: { count: 3, delayMs: 3_600_000, jitter: false },
      },
    ])
    await until(id, 'DEFERRED')
    expect(await layersOf(id)).toMatchObject([
      { state: 'DEFERRED', attempts: 1, completedAt: null, error: { message: expect.any(String) } },
    ])
    expect((await user.get('/api/plays?state=DEFERRED').expect(200)).body.data[0]).toMatchObject({ id })
    await user.delete(`/api/plays/${id}`).expect(204)
  })

  it('that are at work are RUN', async () => {
    const waiting: (() => void)[] = []
    outside.answer('/slow', (_, response) => waiting.push(() => json(response, 200, {})))
    const id = await play([
      { ref: 'call', appId: 'curl', index: 0, args: { url: outside.url('/slow') } },
      set('b', 1, {}),
    ])
    await vi.waitUntil(() => waiting.length > 0)
    expect(standing(await layersOf(id))).toEqual(['call RUN', 'b NEW'])
    expect((await user.get(`/api/plays/${id}`).expect(200)).body).toMatchObject({ state: 'RUN', duration: null })
    for (const answer of waiting) answer()
    await until(id, 'DONE')
  })

  it('that wait for another play are WAIT, and so is their play', async () => {
    const { id: below } = await flow(ASK())
    const id = await play([{ ref: 'sub', appId: 'subflow', index: 0, args: { flowId: below } }])
    await until(id, 'WAIT')
    expect(standing(await layersOf(id))).toEqual(['sub WAIT'])
    const child = (await user.get(`/api/plays?flowId=${below}`).expect(200)).body.data[0].id
    await approve(user, child, { layerId: 'ask', decision: 'approved' }).expect(200)
    expect(await until(id, 'DONE')).toMatchObject({ out: { state: 'DONE', playId: child } })
  })
})

describe('an approval', () => {
  it('is waited for, given with a note, and its layer goes on', async () => {
    const { id: flowId, layers } = await flow(ASK({ approvalTimeout: 3600 }))
    const id = await started(flowId)
    await until(id, 'WAIT')
    const [ask, go] = await layersOf(id)
    expect(ask).toMatchObject({
      state: 'WAIT',
      startedAt: expect.any(String),
      completedAt: null,
      attempts: 0,
      approval: { decision: null, by: null, note: null, at: null, approvers: [], deadline: expect.any(String) },
    })
    expect(go).toMatchObject({ state: 'NEW', startedAt: null, path: null, approval: null })
    const body = { layerId: layers[0]?.id, decision: 'approved', note: 'Checked.' }
    const answer = await approve(user, id, body).expect(200)
    expect(Object.keys(answer.body).sort()).toEqual(Object.keys(examples.play).sort())
    expect(answer.body).toMatchObject({ id, flowId })
    await until(id, 'DONE')
    expect(standing(await layersOf(id))).toEqual(['ask DONE', 'go DONE'])
    expect((await layersOf(id))[0]).toMatchObject({
      approval: { decision: 'approved', by: 'admin@example.com', note: 'Checked.', at: expect.any(String) },
      out: { asked: true },
    })
    const late = await approve(user, id, body).expect(409)
    expect(late.body).toMatchObject({ type: '/problems/approval-decided', statusCode: 409 })
  })

  it('that is declined fails its layer, or skips it where the flow says so', async () => {
    const failing = await play(ASK())
    const skipping = await play(ASK({ onDecline: 'skip' }))
    for (const id of [failing, skipping]) {
      await until(id, 'WAIT')
      await approve(user, id, { layerId: 'ask', decision: 'declined', note: 'too dear' }).expect(200)
    }
    expect(await until(failing, 'FAIL')).toMatchObject({
      error: { code: 'declined', ref: 'ask', message: 'declined by admin@example.com: too dear' },
    })
    expect(standing(await layersOf(failing))).toEqual(['ask FAIL', 'go NEW'])
    await until(skipping, 'DONE')
    expect(standing(await layersOf(skipping))).toEqual(['ask SKIP', 'go DONE'])
  })

  it('is given once, however many race for it', async () => {
    const id = await play(ASK())
    await until(id, 'WAIT')
    const racing = Array.from({ length: 100 }, (_, at) =>
      approve(user, id, { layerId: 'ask', decision: at % 2 === 0 ? 'approved' : 'declined' }),
    )
    const statuses = (await Promise.all(racing)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 409)).toHaveLength(99)
  }, 60_000)

  it('is for layers that wait for one', async () => {
    const id = await play(ASK())
    await until(id, 'WAIT')
    const early = await approve(user, id, { layerId: 'go', decision: 'approved' }).expect(409)
    expect(early.body).toMatchObject({ type: '/problems/nothing-to-approve' })
    const none = await approve(user, id, { layerId: 'layer_none', decision: 'approved' }).expect(404)
    expect(none.body).toMatchObject({ error: 'LAYER_NOT_FOUND', statusCode: 404 })
    await approve(user, id, { layerId: 'ask', decision: 'perhaps' }).expect(422)
    await user.delete(`/api/plays/${id}`).expect(204)
    const over = await approve(user, id, { layerId: 'ask', decision: 'approved' }).expect(409)
    expect(over.body).toMatchObject({ type: '/problems/run-finished' })
  })

  it('can be found and given by those who are named, who see the play for it', async () => {
    const chief = await member('chief@example.com', 'user')
    const id = await play(ASK({ approvers: ['chief@example.com'] }), { price: 5 })
    await until(id, 'WAIT')
    const { body: waiting } = await chief.get('/api/plays?awaiting=me').expect(200)
    expect(waiting).toMatchObject({ total: 1, data: [{ id, state: 'WAIT' }] })
    expect((await chief.get('/api/plays').expect(200)).body.total).toBe(0)
    expect((await chief.get(`/api/plays/${id}`).expect(200)).body).toMatchObject({ args: { price: 5 } })
    expect((await chief.get(`/api/plays/${id}/layers`).expect(200)).body.total).toBe(2)
    // The owner sees it, and may not decide.
    const refused = await approve(user, id, { layerId: 'ask', decision: 'approved' }).expect(403)
    expect(refused.body).toMatchObject({ error: 'FORBIDDEN', statusCode: 403 })
    await chief.delete(`/api/plays/${id}`).expect(404)
    await approve(chief, id, { layerId: 'ask', decision: 'approved' }).expect(200)
    expect((await chief.get('/api/plays?awaiting=me').expect(200)).body.total).toBe(0)
    await until(id, 'DONE')
  })

  it('can be asked of the members of a group', async () => {
    const ann = await member('ann@example.com', 'user')
    const { body: group } = await user.post('/api/groups', { name: 'Chiefs', members: [ann.accountId] }).expect(201)
    const id = await play(ASK({ approvers: [group.id] }))
    await until(id, 'WAIT')
    expect((await ann.get('/api/plays?awaiting=me').expect(200)).body.data).toMatchObject([{ id }])
    await approve(user, id, { layerId: 'ask', decision: 'approved' }).expect(403)
    await approve(ann, id, { layerId: 'ask', decision: 'approved' }).expect(200)
    await until(id, 'DONE')
  })

  it('of any admin or editor is enough where nobody is named', async () => {
    const editor = await member('editor@example.com', 'editor')
    const id = await play(ASK())
    await until(id, 'WAIT')
    const { body } = await editor.get(`/api/plays?awaiting=me&state=WAIT`).expect(200)
    expect(body.data.map((one: { id: string }) => one.id)).toContain(id)
    await approve(editor, id, { layerId: 'ask', decision: 'approved' }).expect(200)
    await until(id, 'DONE')
  })
})

describe('plays', () => {
  it('are nothing to strangers', async () => {
    const { id: flowId } = await flow(ASK())
    const id = await started(flowId)
    await until(id, 'WAIT')
    const stranger = await member('stranger@example.com', 'user')
    for (const asked of [
      stranger.get(`/api/plays/${id}`),
      stranger.get(`/api/plays/${id}/layers`),
      stranger.delete(`/api/plays/${id}`),
      approve(stranger, id, { layerId: 'ask', decision: 'approved' }),
    ])
      expect((await asked.expect(404)).body).toMatchObject({ error: 'PLAY_NOT_FOUND', statusCode: 404 })
    await stranger.post(`/api/flows/${flowId}/run`).expect(404)
    expect((await stranger.get('/api/plays?awaiting=me').expect(200)).body).toMatchObject({ data: [], total: 0 })
  })

  it('are looked at only by viewers', async () => {
    const viewer = await member('viewer@example.com', 'viewer')
    await viewer.get('/api/plays').expect(200)
    await viewer.post('/api/flows/flow_none/run').expect(403)
    await viewer.delete('/api/plays/run_none').expect(403)
    await approve(viewer, 'run_none', { layerId: 'ask', decision: 'approved' }).expect(403)
  })
})
