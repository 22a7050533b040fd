import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import type { Json } from '../../../platform/json.js'

const ECHO = { start: { type: 'transform', params: { script: 'return input' } } }

let api: ApiUnderTest
let admin: FlowRunnerUser
let user: FlowRunnerUser
let flowId: string
let groupId: string

beforeAll(async () => {
  api = await apiUnderTest()
  admin = await FlowRunnerUser.login(api)
  user = await admin.colleague('user@example.com')
  flowId = await user.flow(ECHO)
  groupId = (await user.post('/api/groups', { name: 'Billing' }).expect(201)).body.id
})

afterAll(() => api.close())

const set = (entry: object) => user.post('/api/kv', { scope: 'global', value: 1, ...entry })

describe('KV entries', () => {
  let id: string

  it('are set', async () => {
    const { body, headers } = await set({ key: 'cursor', value: { page: 2 } }).expect(201)
    expect(body).toEqual({
      id: expect.stringMatching(/^kv_/),
      key: 'cursor',
      value: { page: 2 },
      scope: 'global',
      scopeKey: null,
      version: 1,
      secret: false,
      expiresAt: null,
      createdAt: expect.any(String),
      updatedAt: body.createdAt,
    })
    id = body.id
    expect(headers.location).toBe(`/api/kv/${id}`)
    expect(headers.etag).toBe('"1"')
  })

  it('get a new value under the same key, and another version', async () => {
    const { body } = await set({ key: 'cursor', value: ['now', 'a list'] }).expect(200)
    expect(body).toMatchObject({ id, value: ['now', 'a list'], version: 2 })
    expect((await user.get(`/api/kv/${id}`).expect(200)).body).toEqual(body)
  })

  it('are kept for a group or a flow as well, each under a key of its own', async () => {
    await set({ key: 'cursor', scope: 'flow_group', scopeKey: groupId, value: 'group' }).expect(201)
    await set({ key: 'cursor', scope: 'flow', scopeKey: flowId, value: 'flow' }).expect(201)
    await set({ key: 'other' }).expect(201)
    await set({ key: 'cursor-2' }).expect(201)
    const { body } = await user.get('/api/kv').expect(200)
    expect(body).toMatchObject({ total: 5, page: 0, size: 25, pages: 1 })
    expect(body.data.map(({ scope, scopeKey, key }: Record<string, string>) => [scope, scopeKey, key])).toEqual([
      ['flow', flowId, 'cursor'],
      ['flow_group', groupId, 'cursor'],
      ['global', null, 'cursor'],
      ['global', null, 'cursor-2'],
      ['global', null, 'other'],
    ])
  })

  it.each<[string, () => string, number]>([
    ['scope', () => 'scope=global', 3],
    ['scope and flow', () => `scope=flow&scopeKey=${flowId}`, 1],
    ['group', () => `scopeKey=${groupId}`, 1],
    ['a flow that is none', () => 'scopeKey=flow_0', 0],
    ['the beginning of the key', () => 'key=cursor', 4],
    ['the beginning of the key, which is no pattern', () => 'key=%25', 0],
    ['all of it', () => 'scope=global&key=cursor-', 1],
  ])('are found by %s', async (_what, query, total) => {
    const { body } = await user.get(`/api/kv?${query()}`).expect(200)
    expect(body.total).toBe(total)
    expect(body.data).toHaveLength(total)
  })

  it('come in pages', async () => {
    const { body } = await user.get('/api/kv?page=1&size=2').expect(200)
    expect(body).toMatchObject({ data: [{ key: 'cursor' }, { key: 'cursor-2' }], total: 5, page: 1, size: 2, pages: 3 })
    for (const query of ['size=0', 'page=-1', 'scope=mine', 'key=%00']) await user.get(`/api/kv?${query}`).expect(400)
  })

  it('are deleted by id', async () => {
    await user.delete(`/api/kv/${id}`).expect(204)
    const { body } = await user.get(`/api/kv/${id}`).expect(404)
    expect(body).toMatchObject({ type: '/problems/kv-entry-not-found', error: 'KV_ENTRY_NOT_FOUND', statusCode: 404 })
    await user.delete(`/api/kv/${id}`).expect(404)
    expect((await set({ key: 'cursor' }).expect(201)).body.version).toBe(1)
  })

  it('are not there any more when their time has passed', async () => {
    const { body } = await set({ key: 'brief', ttlSeconds: 1 }).expect(201)
    expect(Date.parse(body.expiresAt) - Date.parse(body.updatedAt)).toBeLessThanOrEqual(1_000)
    await expect.poll(async () => (await user.get(`/api/kv/${body.id}`)).status, { interval: 100 }).toBe(404)
    expect((await user.get('/api/kv?key=brief')).body.total).toBe(0)
    await user.delete(`/api/kv/${body.id}`).expect(404)
    const expiresAt = new Date(Date.now() + 60_000).toISOString()
    const anew = await set({ key: 'brief', expiresAt, version: 0 }).expect(201)
    expect(anew.body).toMatchObject({ expiresAt, version: 1 })
    expect((await set({ key: 'brief' }).expect(200)).body.expiresAt).toBeNull()
  })
})

describe('the version of an entry', () => {
  it('decides between two who write', async () => {
    await set({ key: 'raced', version: 0, value: 'first' }).expect(201)
    const lost = await set({ key: 'raced', version: 0, value: 'second' }).expect(409)
    expect(lost.body).toMatchObject({
      type: '/problems/kv-version-conflict',
      error: 'CONFLICT',
      message: 'The entry raced has version 1, not 0',
    })
    expect((await set({ key: 'raced', version: 1, value: 'third' }).expect(200)).body.version).toBe(2)
    await set({ key: 'raced', version: 1, value: 'fourth' }).expect(409)
    await set({ key: 'never', version: 3 }).expect(409)
    expect((await user.get('/api/kv?key=raced')).body.data).toMatchObject([{ value: 'third', version: 2 }])
  })

  it('is its entity tag', async () => {
    const { body, headers } = await set({ key: 'tagged' }).expect(201)
    const tag = String(headers.etag)
    expect((await set({ key: 'tagged', value: 2 }).set('If-Match', tag).expect(200)).headers.etag).toBe('"2"')
    await set({ key: 'tagged', value: 3 }).set('If-Match', tag).expect(412)
    await set({ key: 'tagged', value: 3 }).set('If-Match', '*').expect(200)
    await set({ key: 'absent' }).set('If-Match', '*').expect(412)
    await set({ key: 'absent' }).set('If-Match', '"1"').expect(412)
    await set({ key: 'tagged', value: 4 }).set('If-None-Match', '*').expect(412)
    await set({ key: 'absent' }).set('If-None-Match', '*').expect(201)
    await set({ key: 'absent' }).set('If-None-Match', '"1"').expect(400)
    await user.delete(`/api/kv/${body.id}`).set('If-Match', tag).expect(412)
    await user.delete(`/api/kv/${body.id}`).set('If-Match', '"3"').expect(204)
  })

  it('loses no write of 20 who count together', async () => {
    let lost = 0
    const count = async () => {
      for (;;) {
        const { body: found } = await user.get('/api/kv?scope=global&key=count').expect(200)
        const [entry] = found.data
        const { status } = await set({ key: 'count', value: (entry?.value ?? 0) + 1, version: entry?.version ?? 0 })
        if (status < 300) return
        expect(status).toBe(409)
        lost++
      }
    }
    await Promise.all(Array.from({ length: 20 }, count))
    expect((await user.get('/api/kv?key=count')).body.data).toMatchObject([{ value: 20, version: 20 }])
    expect(lost).toBeGreaterThan(0)
  })
})

describe('what cannot be set', () => {
  it.each<[object, string, string]>([
    [{ key: undefined }, '#/key', 'required'],
    [{ key: '' }, '#/key', 'empty'],
    [{ key: 'a\u0000b' }, '#/key', 'nul'],
    [{ key: 'k'.repeat(513) }, '#/key', 'too_long'],
    [{ value: undefined }, '#/value', 'required'],
    [{ value: { a: ['b\u0000'] } }, '#/value/a/0', 'nul'],
    [{ scope: 'mine' }, '#/scope', 'enum'],
    [{ scope: null }, '#/scope', 'enum'],
    [{ scope: 'global', scopeKey: 'flow_1' }, '#/scopeKey', 'unexpected'],
    [{ scope: 'flow' }, '#/scopeKey', 'required'],
    [{ scope: 'flow', scopeKey: 'flow_0' }, '#/scopeKey', 'unknown_flow'],
    [{ scope: 'flow_group', scopeKey: 'group_0' }, '#/scopeKey', 'unknown_group'],
    [{ scope: 'flow_group', scopeKey: '__proto__' }, '#/scopeKey', 'unknown_group'],
    [{ version: -1 }, '#/version', 'too_small'],
    [{ version: '1' }, '#/version', 'type'],
    [{ ttlSeconds: 0 }, '#/ttlSeconds', 'too_small'],
    [{ expiresAt: '2020-01-01T00:00:00Z' }, '#/expiresAt', 'past'],
    [{ expiresAt: '2999-01-01T00:00:00Z', ttlSeconds: 5 }, '#/expiresAt', 'ambiguous'],
    [{ secret: true, value: 'abc' }, '#/value', 'too_short'],
    [{ secret: true, value: { user: 'someone', 'p/n': [1234, 123] } }, '#/value/p~1n/1', 'too_short'],
    [{ secret: true, value: { on: true } }, '#/value', 'no_text'],
    [{ secret: true, value: 'x'.repeat(65_536) }, '#/value', 'too_long'],
    [{ colour: 'red' }, '#/colour', 'unknown_member'],
  ])('%j', async (fault, pointer, code) => {
    const { body } = await set({ key: 'faulty', ...fault }).expect(422)
    expect(body.errors).toContainEqual({ pointer, detail: expect.any(String), code })
    expect((await user.get('/api/kv?key=faulty')).body.total).toBe(0)
  })

  it('for a flow or a group of somebody else', async () => {
    const flow = await admin.flow(ECHO)
    const { body: group } = await admin.post('/api/groups', { name: 'Theirs' }).expect(201)
    await set({ key: 'faulty', scope: 'flow', scopeKey: flow }).expect(422)
    await set({ key: 'faulty', scope: 'flow_group', scopeKey: group.id }).expect(422)
    await set({ key: 'faulty', scope: 'flow', scopeKey: group.id }).expect(422)
  })

  it('a value that is too large', async () => {
    await set({ key: 'huge', value: 'x'.repeat(2_000_000) }).expect(413)
  })
})

describe('a value', () => {
  it.each<Json>([null, false, 0, '', [], {}, 1e300, { constructor: 1, toString: { a: null } }, '\ud83d', 'grüße 🔑'])(
    'may be %j',
    async (value) => {
      const { body } = await user.post('/api/kv', { key: 'any', value }).expect((response) => {
        expect([200, 201]).toContain(response.status)
      })
      const again = await user.get(`/api/kv/${body.id}`).expect(200)
      expect(JSON.stringify(again.body.value)).toBe(JSON.stringify(value))
    },
  )

  it.each(['__proto__', 'constructor', 'a/b', "'; --", '🗝', '\ud83d', '%', ' '])(
    'may be kept under %j',
    async (key) => {
      const { body } = await set({ key, value: 'found' }).expect(201)
      expect((await user.get(`/api/kv/${body.id}`).expect(200)).body).toMatchObject({ value: 'found' })
      expect((await set({ key, value: 'again' }).expect(200)).body.version).toBe(2)
    },
  )

  it('is left out of lists where it is large', async () => {
    const value = 'x'.repeat(100_000)
    const { body } = await set({ key: 'large', value }).expect(201)
    expect(body.value).toBe(value)
    const { body: list } = await user.get('/api/kv?key=large').expect(200)
    expect(list.data).toMatchObject([{ value: null, valueOmitted: true }])
    expect((await user.get(`/api/kv/${body.id}`)).body.value).toBe(value)
  })
})

describe('a secret entry', () => {
  it('never shows its value, and stays a secret until it is said not to be', async () => {
    const texts: string[] = []
    const { body, text } = await set({ key: 'token', value: 'hunter22', secret: true }).expect(201)
    texts.push(text)
    expect(body).toMatchObject({ value: null, secret: true })
    texts.push((await set({ key: 'token', value: 'hunter23' }).expect(200)).text)
    texts.push((await user.get(`/api/kv/${body.id}`).expect(200)).text)
    texts.push((await user.get('/api/kv?key=token').expect(200)).text)
    texts.push((await set({ key: 'token', value: 'hunter24', version: 1 }).expect(409)).text)
    for (const shown of texts) expect(shown).not.toContain('hunter')
    expect((await set({ key: 'token', value: 'open', secret: false }).expect(200)).body).toMatchObject({
      value: 'open',
    })
  })

  it('is masked wherever a run would show it', async () => {
    await set({ key: 'pin', value: { code: 'open "sesame"', number: 123_456 }, secret: true }).expect(201)
    const execution = await user.outcome(
      {
        read: { type: 'kv-get', params: { key: 'pin' }, next: { default: 'stored' } },
        stored: { type: 'store', params: { operation: 'get', key: 'pin' }, next: { default: 'say' } },
        say: {
          type: 'transform',
          params: { script: 'console.log(input.said); return { said: input.said, number: input.number }' },
        },
      },
      {},
    )
    expect(JSON.stringify(execution)).not.toMatch(/sesame|123456/)
    const echoed = await user.outcome(
      {
        say: {
          type: 'transform',
          params: {
            script: "const said = 'open ' + '\"sesame\"'; console.log(said); return { said, number: 123455 + 1 }",
          },
        },
      },
      {},
    )
    expect(echoed.result).toEqual({ said: '***', number: '***' })
    expect(JSON.stringify(await user.logs(echoed.id))).not.toContain('sesame')
    const { body } = await admin.get('/api/kv')
    expect(body.total).toBe(0)
  })
})

describe('entries and steps', () => {
  it('are the same: what a store step counts is a global entry', async () => {
    const store = (params: object) => user.outcome({ step: { type: 'store', params } })
    await store({ operation: 'increment', key: 'visits' })
    await store({ operation: 'increment', key: 'visits' })
    const { body } = await user.get('/api/kv?key=visits').expect(200)
    expect(body.data).toMatchObject([{ scope: 'global', value: 2, version: 2 }])
    await set({ key: 'visits', value: 10, version: 2 }).expect(200)
    expect((await store({ operation: 'increment', key: 'visits' })).result).toMatchObject({ new_value: 11 })
  })

  it('are read and written by scope', async () => {
    const id = await user.flow({
      set: { type: 'kv-set', params: { key: 'seen', value: { at: 1 } }, next: { default: 'append' } },
      append: { type: 'kv-append', params: { key: 'all', value: 'x', scope: 'global' }, next: { default: 'get' } },
      get: { type: 'kv-get', params: { key: 'seen' } },
    })
    const first = await user.ended(await user.start(id))
    expect(first.result).toEqual({ value: { at: 1 }, found: true })
    await user.ended(await user.start(id))
    const { body } = await user.get(`/api/kv?scopeKey=${id}`).expect(200)
    expect(body.data).toMatchObject([{ scope: 'flow', key: 'seen', value: { at: 1 }, version: 2 }])
    expect((await user.get('/api/kv?key=all')).body.data).toMatchObject([{ scope: 'global', value: ['x', 'x'] }])
  })

  it('are seen by expressions as the flow inherits them, secret ones masked in what comes out', async () => {
    const { body: group } = await user.post('/api/groups', { name: 'Inheriting' }).expect(201)
    const { body: flow } = await user
      .post('/api/flows', { name: 'Sees', groupId: group.id, kvConflict: 'merge' })
      .expect(201)
    const values = {
      merged: '{{ $kv.get "seen-by" }}',
      global: '{{ $kv.getGlobal "seen-by" }}',
      none: '{{ $kv.get "seen-by-nobody" }}',
      secret: 'it is {{ $kv.get "seen-secret" }}',
    }
    const layer = { name: 'See', ref: 'see', appId: 'var', index: 0, args: { values } }
    await user.post(`/api/flows/${flow.id}/layers`, layer).expect(201)
    await set({ key: 'seen-by', value: { all: 1, who: 'all' } }).expect(201)
    await set({ key: 'seen-by', scope: 'flow_group', scopeKey: group.id, value: { who: 'group' } }).expect(201)
    await set({ key: 'seen-by', scope: 'flow', scopeKey: flow.id, value: { own: 1 } }).expect(201)
    await set({ key: 'seen-secret', value: 'open sesame', secret: true }).expect(201)
    const seen = async () => JSON.stringify((await user.ended(await user.start(flow.id))).result)
    const first = await seen()
    expect(first).toContain('"merged":{"all":1,"who":"group","own":1}')
    expect(first).toContain('"global":{"all":1,"who":"all"}')
    expect(first).toContain('"none":null')
    expect(first).toContain('"secret":"it is ***"')
    await user.put(`/api/flows/${flow.id}`, { kvInherit: false }).expect(200)
    const alone = await seen()
    expect(alone).toContain('"merged":{"own":1}')
    expect(alone).toContain('"global":{"all":1,"who":"all"}')
  })

  it('of a group go with it', async () => {
    const { body: group } = await user.post('/api/groups', { name: 'Passing' }).expect(201)
    const { body } = await set({ key: 'k', scope: 'flow_group', scopeKey: group.id }).expect(201)
    await user.delete(`/api/groups/${group.id}`).expect(204)
    await user.get(`/api/kv/${body.id}`).expect(404)
  })
})

describe('to others', () => {
  it('an entry does not exist', async () => {
    const { body } = await set({ key: 'private' }).expect(201)
    const stranger = await admin.colleague('stranger@example.com')
    for (const other of [stranger, admin]) {
      await other.get(`/api/kv/${body.id}`).expect(404)
      await other.delete(`/api/kv/${body.id}`).expect(404)
    }
    expect((await stranger.get(`/api/kv?scopeKey=${flowId}`).expect(200)).body.total).toBe(0)
    await stranger.post('/api/kv', { key: 'private', value: 'theirs', version: 0 }).expect(201)
    expect((await user.get(`/api/kv/${body.id}`)).body.value).toBe(1)
  })

  it('a viewer only looks', async () => {
    const account = { name: 'Viewer', email: 'viewer@example.com', password: ADMIN.password, role: 'viewer' }
    await admin.post('/api/v1/accounts', account).expect(201)
    const viewer = await FlowRunnerUser.login(api, account)
    await viewer.get('/api/kv').expect(200)
    await viewer.post('/api/kv', { key: 'k', value: 1 }).expect(403)
    await viewer.delete('/api/kv/kv_1').expect(403)
  })
})
