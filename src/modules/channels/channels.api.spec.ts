import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import { FlowRunnerUser } from '../../../test/support/flowrunner-user.js'

const TOKEN = 'a-token-that-is-long-enough'

let api: ApiUnderTest
let user: FlowRunnerUser
let stranger: FlowRunnerUser
let viewer: FlowRunnerUser
let flow: string
let other: string

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
  stranger = await user.colleague('stranger@example.com')
  const account = { name: 'v', email: 'viewer@example.com', password: 'correct horse battery', role: 'viewer' }
  await user.post('/api/v1/accounts', account).expect(201)
  viewer = await FlowRunnerUser.login(api, account)
  const nodes = { echo: { type: 'transform', params: { script: 'return input' } } }
  flow = await user.flow(nodes)
  other = await user.flow(nodes)
})

afterAll(() => api.close())

const route = (more: object = {}) => ({
  name: 'orders',
  httpMethod: 'POST',
  path: '/orders/{id}',
  targetFlowIds: [flow],
  ...more,
})

async function channel(more: object = {}): Promise<{ id: string; etag: string; body: Record<string, never> }> {
  const { body, headers } = await user.post('/api/channels', { name: 'Orders', kind: 'http', ...more }).expect(201)
  return { id: body.id, etag: headers.etag ?? '', body }
}

async function entries(id: string): Promise<{ action: string }[]> {
  const text = 'select action, before, after from audit_entry where resource_id = $1 order by seq'
  return await api.app.get(DataSource).query(text, [id])
}

describe('channels', () => {
  it('are made with their routes, and told as they are', async () => {
    const { body, headers } = await user
      .post('/api/channels', { name: 'Orders', kind: 'http', authToken: TOKEN, routes: [route()] })
      .expect(201)
    expect(body).toEqual({
      id: expect.stringMatching(/^channel_/),
      name: 'Orders',
      kind: 'http',
      authMode: 'header_token',
      enabled: true,
      servedAt: `/channels/${body.id}`,
      routes: [
        {
          id: expect.stringMatching(/^route_/),
          channelId: body.id,
          name: 'orders',
          httpMethod: 'POST',
          path: '/orders/{id}',
          targetFlowIds: [flow],
          responseMode: 'sync',
          timeoutSeconds: 30,
          toolName: null,
          createdAt: expect.any(String),
          updatedAt: expect.any(String),
        },
      ],
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    })
    expect(headers.location).toBe(`/api/channels/${body.id}`)
    const { body: again } = await user.get(`/api/channels/${body.id}`).expect(200)
    expect(again).toEqual(body)
  })

  it('have a token that is made up where none is given, and told once', async () => {
    const { body } = await user.post('/api/channels', { name: 'Made up', kind: 'http' }).expect(201)
    expect(body.authToken).toMatch(/^chan_[\w-]{43}$/)
    expect((await user.get(`/api/channels/${body.id}`).expect(200)).body).not.toHaveProperty('authToken')
    const { text } = await user.get('/api/channels?size=100').expect(200)
    expect(text).not.toContain(body.authToken)
    const open = await user.post('/api/channels', { name: 'Open', kind: 'http', authMode: 'public' }).expect(201)
    expect(open.body).not.toHaveProperty('authToken')
    const closed = await user.put(`/api/channels/${open.body.id}`, { authMode: 'header_token' }).expect(200)
    expect(closed.body.authToken).toMatch(/^chan_/)
    const anew = await user.put(`/api/channels/${open.body.id}`, { authToken: null }).expect(200)
    expect(anew.body.authToken).toMatch(/^chan_/)
    expect(anew.body.authToken).not.toBe(closed.body.authToken)
    const same = await user.put(`/api/channels/${open.body.id}`, { name: 'Closed' }).expect(200)
    expect(same.body).not.toHaveProperty('authToken')
  })

  it('are listed by page, oldest first, each account its own', async () => {
    const ids = [
      await stranger.post('/api/channels', { name: 'A', kind: 'mcp' }),
      await stranger.post('/api/channels', { name: 'B', kind: 'websocket' }),
    ].map(({ body }) => body.id)
    const { body } = await stranger.get('/api/channels').expect(200)
    expect(body).toMatchObject({ total: 2, page: 0, size: 25, pages: 1 })
    expect(body.data.map(({ id, servedAt }: { id: string; servedAt: string }) => [id, servedAt])).toEqual([
      [ids[0], `/channels/${ids[0]}/mcp`],
      [ids[1], `/channels/${ids[1]}`],
    ])
    const second = await stranger.get('/api/channels?page=1&size=1').expect(200)
    expect(second.body.data.map(({ id }: { id: string }) => id)).toEqual([ids[1]])
    await stranger.get('/api/channels?size=0').expect(400)
  })

  it('change in what is said, and only in the version that was read', async () => {
    const { id, etag } = await channel({ routes: [route(), route({ name: 'second', path: '/second' })] })
    const { body, headers } = await user
      .put(`/api/channels/${id}`, { name: 'Renamed', enabled: false })
      .set('If-Match', etag)
      .expect(200)
    expect(body).toMatchObject({
      name: 'Renamed',
      enabled: false,
      kind: 'http',
      routes: [{ name: 'orders' }, { name: 'second' }],
    })
    expect(headers.etag).not.toBe(etag)
    await user.put(`/api/channels/${id}`, { name: 'Late' }).set('If-Match', etag).expect(412)
    await user.delete(`/api/channels/${id}`).set('If-Match', etag).expect(412)
  })

  it('take a whole new list of routes, in which those with an id stay themselves', async () => {
    const { id, body } = await channel({ routes: [route(), route({ name: 'second', path: '/second' })] })
    const [first] = body.routes as unknown as { id: string }[]
    const changed = await user
      .put(`/api/channels/${id}`, {
        routes: [route({ id: first?.id, name: 'kept' }), route({ name: 'new', path: '/new' })],
      })
      .expect(200)
    expect(changed.body.routes).toMatchObject([{ id: first?.id, name: 'kept' }, { name: 'new' }])
    for (const routes of [
      [route({ id: 'route_x' })],
      [route({ id: first?.id }), route({ id: first?.id, name: 'twice', path: '/b' })],
    ])
      await user.put(`/api/channels/${id}`, { routes }).expect(422)
    expect((await user.get(`/api/channels/${id}`)).body.routes).toEqual(changed.body.routes)
  })

  it('end with their deletion', async () => {
    const { id } = await channel({ routes: [route()] })
    await user.delete(`/api/channels/${id}`).expect(204)
    await user.get(`/api/channels/${id}`).expect(404)
    await user.delete(`/api/channels/${id}`).expect(404)
    const { body } = await user.put(`/api/channels/${id}`, { name: 'x' }).expect(404)
    expect(body).toMatchObject({ error: 'CHANNEL_NOT_FOUND', statusCode: 404 })
  })

  it('are not there for other accounts, and viewers only look', async () => {
    const { id, body } = await channel({ routes: [route()] })
    const at = `/api/channels/${id}`
    const routeAt = `${at}/routes/${(body.routes as unknown as { id: string }[])[0]?.id}`
    for (const path of [at, `${at}/routes`, routeAt]) await stranger.get(path).expect(404)
    for (const path of [at, routeAt]) {
      await stranger.put(path, { name: 'x' }).expect(404)
      await stranger.delete(path).expect(404)
    }
    await stranger.post(`${at}/routes`, route({ name: 'x', targetFlowIds: ['x'] })).expect(404)
    await viewer.get('/api/channels').expect(200)
    await viewer.post('/api/channels', { name: 'x', kind: 'http' }).expect(403)
    await viewer.put(at, { name: 'x' }).expect(403)
    await viewer.delete(at).expect(403)
    await viewer.post(`${at}/routes`, route()).expect(403)
    await viewer.put(routeAt, { name: 'x' }).expect(403)
    await viewer.delete(routeAt).expect(403)
  })

  it('start only flows of their account', async () => {
    const { body } = await stranger.post('/api/channels', { name: 'x', kind: 'http', routes: [route()] }).expect(422)
    expect(body.errors).toEqual([
      { pointer: '#/routes/0/targetFlowIds/0', detail: `Flow ${flow} not found`, code: 'unknown_flow' },
    ])
  })

  it.each([
    ['no path', { path: undefined }, 'path'],
    ['no method', { httpMethod: null }, 'httpMethod'],
    ['a path with a query', { path: '/a?b=c' }, 'path'],
    ['a path that climbs', { path: '/../b' }, 'path'],
    ['a flow that is named twice', { targetFlowIds: ['x', 'x'] }, 'targetFlowIds'],
    ['no flow', { targetFlowIds: [] }, 'targetFlowIds'],
    ['too much patience', { timeoutSeconds: 301 }, 'timeoutSeconds'],
    ['a method of its own', { httpMethod: 'BREW' }, 'httpMethod'],
    ['a tool name with a space', { toolName: 'a b' }, 'toolName'],
  ])('are refused with %s', async (_, change, member) => {
    const { body } = await user.post('/api/channels', { name: 'x', kind: 'http', routes: [route(change)] }).expect(422)
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer)).toContain(`#/routes/0/${member}`)
  })

  it.each([
    ['name', { path: '/else' }],
    ['method and path', { name: 'else', path: '/orders/:order' }],
  ])('are refused when two routes have the same %s', async (what, change) => {
    const routes = [route(), route(change)]
    const { body } = await user.post('/api/channels', { name: 'x', kind: 'http', routes }).expect(409)
    expect(body).toMatchObject({ type: '/problems/channel-route-conflict', error: 'CONFLICT' })
    expect(body.detail).toContain(what)
    const { id } = await channel({ routes: [route()] })
    await user.put(`/api/channels/${id}`, { routes }).expect(409)
  })

  it('become another kind only with routes that fit it', async () => {
    const { id } = await channel({ kind: 'mcp', routes: [{ name: 'tool', targetFlowIds: [flow] }] })
    await user.put(`/api/channels/${id}`, { kind: 'http' }).expect(422)
    await user.put(`/api/channels/${id}`, { kind: 'websocket' }).expect(200)
  })

  it('are audited, without their tokens', async () => {
    const { id } = await channel({ authToken: TOKEN, routes: [route()] })
    await user.put(`/api/channels/${id}`, { authToken: `${TOKEN}-2`, name: 'Renamed' }).expect(200)
    await user.delete(`/api/channels/${id}`).expect(204)
    const audited = await entries(id)
    expect(audited).toMatchObject([
      { action: 'channel.create', after: { name: 'Orders', kind: 'http', routes: [{ path: '/orders/{id}' }] } },
      { action: 'channel.update', before: { name: 'Orders' }, after: { name: 'Renamed', tokenChanged: true } },
      { action: 'channel.delete', before: { name: 'Renamed' } },
    ])
    expect(JSON.stringify(audited)).not.toContain(TOKEN)
  })

  it('start nothing for an account that has become a viewer', async () => {
    const demoted = await user.colleague('demoted@example.com')
    const { body } = await demoted
      .post('/api/channels', { name: 'Left open', kind: 'http', authMode: 'public' })
      .expect(201)
    const opens = async () => (await api.get(`/channels/${body.id}`)).body.type
    expect(await opens()).not.toContain('channel-not-found')
    await user.put(`/api/v1/accounts/${demoted.accountId}`, { role: 'viewer' }).expect(200)
    expect(await opens()).toContain('channel-not-found')
    await user.put(`/api/v1/accounts/${demoted.accountId}`, { role: 'user' }).expect(200)
    expect(await opens()).not.toContain('channel-not-found')
  })

  it('go with their account', async () => {
    const leaving = await user.colleague('leaving@example.com')
    const { body } = await leaving
      .post('/api/channels', { name: 'Left behind', kind: 'http', authMode: 'public' })
      .expect(201)
    await user.delete(`/api/v1/accounts/${leaving.accountId}`).expect(200)
    await api.get(`/channels/${body.id}`).expect(404)
    const left = await api.app
      .get(DataSource)
      .query('select id from channel where account_id = $1', [leaving.accountId])
    expect(left).toEqual([])
  })
})

describe('routes', () => {
  it('are added, changed and deleted one by one', async () => {
    const { id, etag } = await channel()
    const at = `/api/channels/${id}/routes`
    const added = await user.post(at, route({ responseMode: 'async' })).expect(201)
    expect(added.headers.location).toBe(`${at}/${added.body.id}`)
    expect(added.body).toMatchObject({ channelId: id, responseMode: 'async', timeoutSeconds: 30 })
    await user.post(at, route({ name: 'second', path: '/second' })).expect(201)
    const list = await user.get(`${at}?size=1&page=1`).expect(200)
    expect(list.body).toMatchObject({ total: 2, pages: 2, data: [{ name: 'second' }] })
    const one = `${at}/${added.body.id}`
    const changed = await user
      .put(one, { timeoutSeconds: 5, targetFlowIds: [other, flow] })
      .set('If-Match', added.headers.etag ?? '')
      .expect(200)
    expect(changed.body).toMatchObject({ name: 'orders', timeoutSeconds: 5, targetFlowIds: [other, flow] })
    await user
      .put(one, { timeoutSeconds: 6 })
      .set('If-Match', added.headers.etag ?? '')
      .expect(412)
    expect((await user.get(one).expect(200)).body).toEqual(changed.body)
    await user.delete(one).expect(204)
    for (const gone of [user.get(one), user.delete(one), user.put(one, { name: 'x' })]) {
      const { body } = await gone.expect(404)
      expect(body.error).toBe('CHANNEL_ROUTE_NOT_FOUND')
    }
    const { body: now, headers } = await user.get(`/api/channels/${id}`).expect(200)
    expect(now.routes).toMatchObject([{ name: 'second' }])
    expect(headers.etag).not.toBe(etag)
    expect((await entries(added.body.id)).map(({ action }) => action)).toEqual([
      'channelRoute.create',
      'channelRoute.update',
      'channelRoute.delete',
    ])
  })

  it('are refused where they conflict with one that is there', async () => {
    const { id } = await channel({ routes: [route(), route({ name: 'second', path: '/second' })] })
    const at = `/api/channels/${id}/routes`
    await user.post(at, route({ name: 'third', path: '/orders/:x/' })).expect(409)
    await user.post(at, route({ name: 'third', httpMethod: 'PUT' })).expect(201)
    await user.post(at, route({ path: '/third' })).expect(409)
    const { body } = await user.get(at)
    await user.put(`${at}/${body.data[1].id}`, { path: '/orders/{id}' }).expect(409)
    await user.put(`${at}/${body.data[1].id}`, { path: '//' }).expect(422)
  })

  it('of an MCP channel are refused as tools of the same name', async () => {
    const { id } = await channel({ kind: 'mcp', routes: [{ name: 'place order', targetFlowIds: [flow] }] })
    const tool = { name: 'other', toolName: 'place_order', targetFlowIds: [flow] }
    await user.post(`/api/channels/${id}/routes`, tool).expect(409)
  })
})
