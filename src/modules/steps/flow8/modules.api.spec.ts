import { Ajv2020 } from 'ajv/dist/2020.js'
import ajvFormats from 'ajv-formats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import type { Flow8Module } from './modules.dto.js'

/** The modules of flow8's documentation that are here. */
const DOCUMENTED = [
  'router iterator aggregator subflow enumeration delay wait',
  'curl',
  'var template base64-encode base64-decode url-encode url-decode regex array-filter array-map',
  'db-query db-insert db-update db-upsert db-delete',
  'send-mail',
].flatMap((line) => line.split(' '))

let api: ApiUnderTest
let user: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
})

afterAll(() => api.close())

const all = async (query = ''): Promise<Flow8Module[]> =>
  (await user.get(`/api/modules?size=100${query}`).expect(200)).body.data

describe('modules', () => {
  it('are listed by id, those of the documentation among them', async () => {
    const ids = (await all()).map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining(DOCUMENTED))
    expect(ids).toEqual([...ids].sort())
  })

  it('come in pages', async () => {
    const { body: first } = await user.get('/api/modules?size=2').expect(200)
    const { body: second } = await user.get('/api/modules?size=2&page=1').expect(200)
    expect(first).toMatchObject({ page: 0, size: 2, pages: Math.ceil(first.total / 2) })
    const ids = (await all()).map(({ id }) => id)
    expect([...first.data, ...second.data].map(({ id }) => id)).toEqual(ids.slice(0, 4))
    expect((await user.get('/api/modules?page=1000').expect(200)).body.data).toEqual([])
    await user.get('/api/modules?size=0').expect(400)
    await user.get('/api/modules?page=-1').expect(400)
  })

  it('are of a category', async () => {
    const database = await all('&category=database')
    expect(database.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['db-delete', 'db-insert', 'db-query', 'db-update', 'db-upsert']),
    )
    expect(new Set(database.map(({ category }) => category))).toEqual(new Set(['database']))
    expect((await user.get('/api/modules?category=magic').expect(400)).body).toMatchObject({
      error: 'VALIDATION_ERROR',
      statusCode: 400,
    })
  })

  it('say all that a form needs', async () => {
    expect((await user.get('/api/modules/enumeration').expect(200)).body).toEqual({
      id: 'enumeration',
      name: 'Enumeration',
      category: 'control',
      description: 'Makes the list of the numbers from one to another.',
      repetition: 'pure',
      rawArgs: [],
      args: expect.objectContaining({ type: 'object', required: ['from', 'to'] }),
      out: expect.objectContaining({ type: 'object', required: ['items'] }),
    })
    const ajv = new Ajv2020({ strict: false })
    ajvFormats.default(ajv)
    for (const module of await all()) {
      expect(ajv.validateSchema(module.args), module.id).toBe(true)
      if (module.out) expect(ajv.validateSchema(module.out), module.id).toBe(true)
      expect(module.category, `${module.id} is of a category`).toBeDefined()
      if (!DOCUMENTED.includes(module.id)) continue
      for (const [name, arg] of Object.entries(module.args.properties as Record<string, { description?: string }>)) {
        expect(arg.description, `${module.id}.${name}`).toMatch(/.\.$/)
      }
    }
  })

  it('are found by their id, as it is written', async () => {
    expect((await user.get('/api/modules/http.request').expect(200)).body.id).toBe('http.request')
    for (const id of ['Enumeration', 'toString', '__proto__', 'x'.repeat(500)]) {
      const { body } = await user.get(`/api/modules/${id}`).expect(404)
      expect(body).toMatchObject({ type: '/problems/module-not-found', error: 'MODULE_NOT_FOUND', statusCode: 404 })
    }
  })

  it('are shown to whoever has logged in, viewers as well', async () => {
    await api.get('/api/modules').expect(401)
    await api.get('/api/modules/curl').expect(401)
    const viewer = await user.colleague('viewer@example.com')
    await user.put(`/api/v1/accounts/${viewer.accountId}`, { role: 'viewer' }).expect(200)
    await viewer.get('/api/modules').expect(200)
    await viewer.get('/api/modules/curl').expect(200)
  })
})

describe('modules in flows of another language', () => {
  it('work on what comes out of each other', async () => {
    const flow = await user.flow({
      orders: {
        type: 'var',
        params: { values: { limit: '${input.limit}', list: '${input.orders}' } },
        next: { default: 'large' },
      },
      large: {
        type: 'array-filter',
        params: { items: '${input.list}', condition: '{{ gt .total $shared.limit }}' },
        next: { default: 'names' },
      },
      names: {
        type: 'array-map',
        params: { items: '${input.items}', template: '{{ upper .name }}' },
        next: { default: 'which' },
      },
      which: {
        type: 'router',
        params: {
          routes: [
            { condition: '${input.count > 1}', label: 'many' },
            { condition: true, label: 'few' },
          ],
        },
        next: { many: 'mail', few: 'none' },
      },
      mail: {
        type: 'template',
        params: {
          template: '{{ range .items }}{{ . }};{{ end }}{{ .count }}',
          data: '${results.names}',
        },
        next: { default: 'digits' },
      },
      digits: { type: 'regex', params: { input: '${input.result}', pattern: '(\\d+)$' } },
      none: { type: 'var', params: { values: { none: true } } },
    })
    const orders = [
      { name: 'Ada', total: 20 },
      { name: 'Bea', total: 5 },
      { name: 'Cid', total: 30 },
    ]
    const { body } = await user.post(`/api/v1/flows/${flow}/run`, { input: { limit: 10, orders } }).expect(201)
    const ended = await user.ended(body.execution_id)
    expect(ended).toMatchObject({
      status: 'completed',
      result: { found: true, matches: ['2'], captures: [{ index: 8, groups: ['2'], named: {} }] },
    })
  })
})
