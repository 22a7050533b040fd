import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'

const CHAIN = {
  fetch: { type: 'transform', params: { script: 'return 1' }, next: { default: 'tell' } },
  tell: { type: 'transform', params: { script: 'return input' } },
}
const FORK = {
  fork: { type: 'condition', params: { condition_script: 'return input.go' }, next: { true: 'a', false: 'b' } },
  a: { type: 'transform', params: { script: 'return 1' } },
  b: { type: 'transform', params: { script: 'return 2' } },
}

let api: ApiUnderTest
let user: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
})

afterAll(() => api.close())

async function made(body: object = {}) {
  return (await user.post('/api/flows', { name: 'A flow', ...body }).expect(201)).body
}

async function added(flowId: string, body: object) {
  return (await user.post(`/api/flows/${flowId}/layers`, body).expect(201)).body
}

describe('flows', () => {
  it('are created empty, and read', async () => {
    const answer = await user.post('/api/flows', { name: 'Order import', category: 'import' }).expect(201)
    expect(answer.body).toEqual({
      id: expect.stringMatching(/^flow_/),
      name: 'Order import',
      description: '',
      enabled: true,
      category: 'import',
      groupId: null,
      permanentId: expect.stringMatching(/^order-import-[0-9a-z]{6}$/),
      version: 1,
      kvInherit: true,
      kvConflict: 'child',
      tags: [],
      execution: { timeout: null, queue: null, onFailFlowId: null, priority: null, concurrency: null },
      layers: [],
      layersNote: null,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    })
    expect(answer.headers.location).toBe(`/api/flows/${answer.body.id}`)
    const got = await user.get(`/api/flows/${answer.body.id}`).expect(200)
    expect(got.body).toEqual(answer.body)
    expect(got.headers.etag).toBe(`"${answer.body.updatedAt}"`)
  })

  it('come in pages, by category, tag and whether they are enabled', async () => {
    const category = 'paging'
    for (const enabled of [true, true, false]) await made({ category, enabled, tags: enabled ? ['on'] : [] })
    const list = async (query: string) => (await user.get(`/api/flows?category=${category}${query}`).expect(200)).body
    expect(await list('&size=2')).toMatchObject({ total: 3, page: 0, size: 2, pages: 2, data: [{}, {}] })
    expect((await list('&size=2&page=1')).data).toHaveLength(1)
    expect((await list('&size=2&page=9')).data).toEqual([])
    expect(await list('&enabled=false')).toMatchObject({ total: 1, data: [{ enabled: false }] })
    expect(await list('&tag=on&size=1000')).toMatchObject({ total: 2, size: 100 })
    await user.get('/api/flows?size=0').expect(400)
    await user.get('/api/flows?page=-1').expect(400)
  })

  it('change, count their changes, and keep what is not said', async () => {
    const flow = await made({ tags: ['x'], execution: { timeout: 60 } })
    const { body } = await user.put(`/api/flows/${flow.id}`, { name: 'Renamed', enabled: false }).expect(200)
    expect(body).toMatchObject({
      name: 'Renamed',
      enabled: false,
      tags: ['x'],
      version: 2,
      permanentId: flow.permanentId,
    })
    expect(body.execution.timeout).toBe(60)
    const next = await user.put(`/api/flows/${flow.id}`, { execution: { timeout: null, concurrency: 2 } }).expect(200)
    expect(next.body).toMatchObject({ version: 3, execution: { timeout: null, concurrency: 2 } })
  })

  it('are not changed by whoever knows an older version', async () => {
    const flow = await made()
    await user.put(`/api/flows/${flow.id}`, { name: 'B' }).set('If-Match', `"${flow.updatedAt}"`).expect(200)
    await user.put(`/api/flows/${flow.id}`, { name: 'C' }).set('If-Match', `"${flow.updatedAt}"`).expect(412)
  })

  it('have permanent IDs of their own', async () => {
    const permanentId = 'orders'
    const flow = await made({ permanentId })
    const { body } = await user.post('/api/flows', { name: 'B', permanentId }).expect(409)
    expect(body).toMatchObject({ error: 'CONFLICT', statusCode: 409, type: '/problems/permanent-id-taken' })
    const other = await made()
    await user.put(`/api/flows/${other.id}`, { permanentId }).expect(409)
    await user.delete(`/api/flows/${flow.id}`).expect(204)
    await made({ permanentId })
    await user.post('/api/flows', { name: 'C', permanentId: 'No Spaces' }).expect(422)
  })

  it('are deleted', async () => {
    const flow = await made()
    await user.delete(`/api/flows/${flow.id}`).expect(204)
    const { body } = await user.get(`/api/flows/${flow.id}`).expect(404)
    expect(body).toMatchObject({
      error: 'FLOW_NOT_FOUND',
      message: `Flow with ID ${flow.id} not found`,
      statusCode: 404,
    })
    await user.delete(`/api/flows/${flow.id}`).expect(404)
    await user.put(`/api/flows/${flow.id}`, { name: 'x' }).expect(404)
  })

  it('lie in groups of their account, which are not deleted meanwhile', async () => {
    const group = (await user.post('/api/groups', { name: 'Imports' }).expect(201)).body
    const flow = await made({ groupId: group.id })
    expect((await user.get(`/api/flows?groupId=${group.id}`).expect(200)).body.data).toMatchObject([{ id: flow.id }])
    const { body } = await user.post('/api/flows', { name: 'x', groupId: 'group_gone' }).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/groupId', code: 'unknown_group' }])
    await user.put(`/api/flows/${flow.id}`, { groupId: 'group_gone' }).expect(422)
    await user.delete(`/api/groups/${group.id}`).expect(409)
    await user.put(`/api/flows/${flow.id}`, { groupId: null }).expect(200)
    await user.delete(`/api/groups/${group.id}`).expect(204)
  })

  it('name only flows for failures that there are', async () => {
    const { body } = await user.post('/api/flows', { name: 'x', execution: { onFailFlowId: 'flow_gone' } }).expect(422)
    expect(body.errors).toMatchObject([{ pointer: '#/execution/onFailFlowId', code: 'unknown_flow' }])
  })
})

describe('layers', () => {
  it('are added one by one, with what is left out chosen', async () => {
    const flow = await made()
    const answer = await user
      .post(`/api/flows/${flow.id}/layers`, { appId: 'var', args: { values: { a: 1 } } })
      .expect(201)
    expect(answer.body).toEqual({
      id: expect.stringMatching(/^layer_/),
      flowId: flow.id,
      name: 'var',
      ref: 'var',
      appId: 'var',
      index: 0,
      args: { values: { a: 1 } },
      timeout: 300,
      filters: [],
      needsApproval: false,
      approvers: [],
      approvalTimeout: null,
      onDecline: 'fail',
      onError: 'fail',
      enabled: true,
    })
    const second = await added(flow.id, { appId: 'var', args: { values: { b: '{{ $prev.var.a }}' } } })
    expect(second).toMatchObject({ ref: 'var_2', index: 1 })
    expect((await user.get(`/api/flows/${flow.id}`).expect(200)).body).toMatchObject({
      version: 3,
      layers: [{}, second],
    })
    const page = (await user.get(`/api/flows/${flow.id}/layers?size=1&page=1`).expect(200)).body
    expect(page).toEqual({ data: [second], total: 2, page: 1, size: 1, pages: 2 })
  })

  it('change and go, unless others name them', async () => {
    const flow = await made()
    const one = await added(flow.id, { appId: 'var', ref: 'one', args: { values: { a: 1 } } })
    const two = await added(flow.id, { appId: 'var', ref: 'two', args: { values: { b: '{{ $prev.one.a }}' } } })
    const at = `/api/flows/${flow.id}/layers`
    const changed = await user.put(`${at}/${two.id}`, { name: 'Second', retry: { count: 2 } }).expect(200)
    expect(changed.body).toEqual({ ...two, name: 'Second', retry: { count: 2 } })
    const { body: inUse } = await user.delete(`${at}/${one.id}`).expect(409)
    expect(inUse).toMatchObject({ type: '/problems/layer-in-use', error: 'CONFLICT' })
    await user.put(`${at}/${one.id}`, { ref: 'other' }).expect(422)
    await user.delete(`${at}/${two.id}`).expect(204)
    await user.delete(`${at}/${one.id}`).expect(204)
    const { body } = await user.delete(`${at}/${one.id}`).expect(404)
    expect(body.error).toBe('LAYER_NOT_FOUND')
    await user.put(`${at}/${one.id}`, { name: 'x' }).expect(404)
  })

  it('with faults are refused with all of them, each with its place in the request', async () => {
    const flow = await made()
    await added(flow.id, { appId: 'var', ref: 'one', args: { values: {} } })
    const { body } = await user
      .post(`/api/flows/${flow.id}/layers`, {
        appId: 'curl',
        ref: 'two',
        args: { url: '{{ $prev.nobody.x }}', method: 7 },
      })
      .expect(422)
    expect(body.error).toBe('VALIDATION_ERROR')
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      '#/args/method',
      '#/args/url',
    ])
    const unknown = await user.post(`/api/flows/${flow.id}/layers`, { appId: 'no-such-module' }).expect(422)
    expect(unknown.body.errors).toMatchObject([{ pointer: '#/appId', code: 'unknown_module' }])
    const whole = await user
      .post('/api/flows', { name: 'x', layers: [{ appId: 'var' }, { appId: 'nope' }] })
      .expect(422)
    expect(whole.body.errors).toContainEqual(expect.objectContaining({ pointer: '#/layers/1/appId' }))
  })

  it.each([[[[]]], [['x']], [[null]]])('that are none are refused: %j', async (layers) => {
    const { body } = await user.post('/api/flows', { name: 'x', layers }).expect(422)
    expect(body.errors[0].pointer).toMatch(/^#\/layers/)
  })

  it('are exchanged as a whole, and keep the ids that they are named by', async () => {
    const flow = await made({
      layers: [
        { appId: 'var', ref: 'a', args: { values: {} } },
        { appId: 'var', ref: 'b', args: { values: {} } },
      ],
    })
    const [a, b] = flow.layers
    const { body } = await user
      .put(`/api/flows/${flow.id}`, {
        layers: [
          { ...pick(b), index: 0 },
          { appId: 'var', ref: 'c', index: 1, args: { values: {} } },
        ],
      })
      .expect(200)
    expect(body.layers.map(({ ref }: { ref: string }) => ref)).toEqual(['b', 'c'])
    expect(body.layers[0].id).toBe(b.id)
    expect([a.id, b.id]).not.toContain(body.layers[1].id)
  })

  it('are not changed under an older version of their flow', async () => {
    const flow = await made()
    const ifMatch = `"${flow.updatedAt}"`
    const at = `/api/flows/${flow.id}/layers`
    const { body } = await user
      .post(at, { appId: 'var', args: { values: {} } })
      .set('If-Match', ifMatch)
      .expect(201)
    await user
      .post(at, { appId: 'var', args: { values: {} } })
      .set('If-Match', ifMatch)
      .expect(412)
    await user.put(`${at}/${body.id}`, { name: 'x' }).set('If-Match', ifMatch).expect(412)
    await user.delete(`${at}/${body.id}`).set('If-Match', ifMatch).expect(412)
  })

  it('none is lost when many are added at the same moment', async () => {
    const flow = await made()
    const adding = Array.from({ length: 20 }, (_, at) =>
      added(flow.id, { appId: 'var', ref: `l${at}`, args: { values: {} } }),
    )
    await Promise.all(adding)
    expect((await user.get(`/api/flows/${flow.id}/layers`).expect(200)).body.total).toBe(20)
  })
})

describe('one flow, two languages', () => {
  it('shows a chain of YAML nodes as layers, which are changed where they were written', async () => {
    const id = await user.flow(CHAIN)
    const { body } = await user.get(`/api/flows/${id}`).expect(200)
    expect(body.layers).toMatchObject([
      { ref: 'fetch', appId: 'transform', index: 0 },
      { ref: 'tell', appId: 'transform', index: 1 },
    ])
    expect(body.layersNote).toContain('/api/v1/flows')
    expect((await user.get(`/api/flows/${id}/layers`).expect(200)).body.total).toBe(2)
    const { body: refused } = await user.post(`/api/flows/${id}/layers`, { appId: 'var' }).expect(409)
    expect(refused.type).toBe('/problems/flow-not-layered')
    await user.put(`/api/flows/${id}/layers/fetch`, { name: 'x' }).expect(409)
    await user.delete(`/api/flows/${id}/layers/fetch`).expect(409)
    await user.put(`/api/flows/${id}`, { execution: { timeout: 5 } }).expect(409)
    const { body: renamed } = await user.put(`/api/flows/${id}`, { category: 'yaml' }).expect(200)
    expect(renamed).toMatchObject({ category: 'yaml', version: 2, layers: [{}, {}] })
  })

  it('says plainly where nodes are no layers', async () => {
    const id = await user.flow(FORK)
    const { body } = await user.get(`/api/flows/${id}`).expect(200)
    expect(body.layers).toEqual([])
    expect(body.layersNote).toContain("node 'fork' leads on by its action")
    await user.get(`/api/flows/${id}/layers`).expect(409)
  })

  it('runs layers as an execution', async () => {
    const flow = await made({
      layers: [
        { appId: 'var', ref: 'left', index: 0, args: { values: { n: 1 } } },
        { appId: 'var', ref: 'right', index: 0, args: { values: { n: '{{ $prev.args.n }}' } } },
        {
          appId: 'var',
          ref: 'never',
          index: 1,
          args: { values: { n: 3 } },
          filters: [{ leftValue: '{{ $prev.left.n }}', operator: 'gt', rightValue: 5 }],
        },
        { appId: 'var', ref: 'sum', index: 2, args: { values: { n: '{{ add $prev.left.n $prev.right.n }}' } } },
      ],
    })
    const yaml = (await user.get(`/api/v1/flows/${flow.id}`).expect(200)).body
    expect(JSON.parse(yaml.definition).layers).toHaveLength(4)
    const ended = await user.ended(await user.start(flow.id, { n: 41 }))
    expect(ended).toMatchObject({ status: 'completed', result: { n: 42 } })
  })

  it('that is disabled is started by nobody', async () => {
    const id = await user.flow(CHAIN)
    await user.put(`/api/flows/${id}`, { enabled: false }).expect(200)
    const { body } = await user.post(`/api/v1/flows/${id}/run`, {}).expect(409)
    expect(body).toMatchObject({ type: '/problems/flow-disabled', error: { code: 'conflict' } })
  })
})

describe('others', () => {
  it('see nothing of it', async () => {
    const flow = await made({ layers: [{ appId: 'var', args: { values: {} } }] })
    const stranger = await user.colleague('stranger@example.com')
    await stranger.get(`/api/flows/${flow.id}`).expect(404)
    await stranger.get(`/api/flows/${flow.id}/layers`).expect(404)
    await stranger.post(`/api/flows/${flow.id}/layers`, { appId: 'var' }).expect(404)
    await stranger.delete(`/api/flows/${flow.id}`).expect(404)
    expect((await stranger.get('/api/flows').expect(200)).body.total).toBe(0)
  })
})

function pick({ id, appId, ref, args }: Record<string, unknown>) {
  return { id, appId, ref, args }
}
