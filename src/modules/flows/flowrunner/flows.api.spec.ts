import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { definitionOf, FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { Outside } from '../../../../test/support/outside.js'
import { likeReference } from '../../../../test/support/reference.js'
import * as examples from './flows.examples.js'

const { DEFINITION, UPDATED_DEFINITION } = examples
const MY_FLOW = { name: 'My Flow', description: 'A simple flow', definition: DEFINITION, tags: ['production'] }
const UPDATED_FLOW = {
  name: 'Updated Flow',
  description: 'An updated flow',
  definition: UPDATED_DEFINITION,
  tags: ['production', 'updated'],
}
const ECHO = { start: { type: 'transform', params: { script: 'return input' } } }

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

describe('flow management, as the reference shows it', () => {
  let id: string

  it('creates a flow', async () => {
    const { body, headers } = await user.post('/api/v1/flows', MY_FLOW).expect(201)
    expect(likeReference(body)).toEqual(likeReference(examples.flow))
    id = body.id
    expect(headers.location).toBe(`/api/v1/flows/${id}`)
  })

  it('lists flows', async () => {
    const definition = definitionOf(ECHO, { description: 'Another flow' })
    const other = await user
      .post('/api/v1/flows', { name: 'Another Flow', definition, tags: ['development'] })
      .expect(201)
    const { body } = await user.get('/api/v1/flows').expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.flowList))
    await user.delete(`/api/v1/flows/${other.body.id}`).expect(200)
  })

  it('gets a flow with its definition', async () => {
    const { body } = await user.get(`/api/v1/flows/${id}`).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.flowDetails))
    expect(body.definition).toBe(DEFINITION)
  })

  it('updates a flow, whose version is the one in the YAML', async () => {
    const { body } = await user.put(`/api/v1/flows/${id}`, UPDATED_FLOW).expect(200)
    expect(likeReference(body)).toEqual(likeReference(examples.updatedFlow))
    expect(Date.parse(body.updated_at)).toBeGreaterThan(Date.parse(body.created_at))
  })

  it('deletes a flow', async () => {
    const { body } = await user.delete(`/api/v1/flows/${id}`).expect(200)
    expect(body).toEqual(examples.deletedFlow)
    const gone = await user.get(`/api/v1/flows/${id}`).expect(404)
    expect(gone.body).toMatchObject({
      type: '/problems/flow-not-found',
      detail: `Flow with ID ${id} not found`,
      error: { code: 'not_found', message: `Flow with ID ${id} not found` },
    })
    await user.delete(`/api/v1/flows/${id}`).expect(404)
    await user.put(`/api/v1/flows/${id}`, { name: 'Again' }).expect(404)
    const run = await user.post(`/api/v1/flows/${id}/run`, { input: {} }).expect(404)
    expect(run.body.error).toEqual({ code: 'not_found', message: `Flow with ID ${id} not found` })
    const { body: list } = await user.get('/api/v1/flows').expect(200)
    expect(list).toEqual({ flows: [], total: 0, limit: 10, offset: 0 })
  })

  it('is published with the same examples', () => {
    const shown = Object.fromEntries(
      api.spec.operations
        .filter(({ operation }) => operation.operationId.startsWith('flowRunner_flows_'))
        .map(({ operation: { operationId, requestBody, responses } }) => [
          operationId.replace('flowRunner_flows_', ''),
          [requestBody, responses[200] ?? responses[201]].map(
            (part) => Object.values(part?.content?.['application/json']?.examples ?? {})[0]?.value,
          ),
        ]),
    )
    expect(shown).toEqual({
      list: [undefined, examples.flowList],
      get: [undefined, examples.flowDetails],
      create: [MY_FLOW, examples.flow],
      update: [UPDATED_FLOW, examples.updatedFlow],
      delete: [undefined, examples.deletedFlow],
      run: [{ input: { key: 'value' } }, expect.objectContaining({ execution_id: 'exec-123', status: 'running' })],
    })
  })

  it('says what is wrong with a request', async () => {
    const { body } = await user.post('/api/v1/flows', { definition: DEFINITION }).expect(422)
    expect(body).toMatchObject({
      type: '/problems/validation-error',
      status: 422,
      errors: [{ pointer: '#/name', detail: 'Name is required', code: 'required' }],
      error: {
        code: 'validation_error',
        message: 'The request was invalid',
        details: { field: 'name', reason: 'Name is required' },
      },
    })
  })
})

describe('a list of flows', () => {
  const made: string[] = []

  beforeAll(async () => {
    for (let number = 0; number < 12; number++) {
      const tags = number % 3 === 0 ? ['third', 'all'] : ['all']
      const { body } = await user
        .post('/api/v1/flows', { name: `Flow ${number}`, definition: definitionOf(ECHO), tags })
        .expect(201)
      made.push(body.id)
    }
  })

  afterAll(async () => {
    for (const id of made) await user.delete(`/api/v1/flows/${id}`).expect(200)
  })

  it('comes in pages, oldest first', async () => {
    const first = (await user.get('/api/v1/flows').expect(200)).body
    const second = (await user.get('/api/v1/flows?limit=10&offset=10').expect(200)).body
    expect([first.total, first.limit, first.offset]).toEqual([12, 10, 0])
    expect([second.total, second.limit, second.offset]).toEqual([12, 10, 10])
    expect([...first.flows, ...second.flows].map(({ id }: { id: string }) => id)).toEqual(made)
    const beyond = (await user.get('/api/v1/flows?limit=5&offset=100').expect(200)).body
    expect(beyond).toEqual({ flows: [], total: 12, limit: 5, offset: 100 })
  })

  it('is filtered by tag before it is paged', async () => {
    const { body } = await user.get('/api/v1/flows?tag=third&limit=3').expect(200)
    expect(body.total).toBe(4)
    expect(body.flows.map(({ name }: { name: string }) => name)).toEqual(['Flow 0', 'Flow 3', 'Flow 6'])
    expect((await user.get('/api/v1/flows?tag=nothing').expect(200)).body.total).toBe(0)
    expect((await user.get(`/api/v1/flows?tag=${encodeURIComponent("' or 1=1")}`).expect(200)).body.total).toBe(0)
  })

  it('lowers a page size above the maximum to it', async () => {
    expect((await user.get('/api/v1/flows?limit=1000').expect(200)).body).toMatchObject({ limit: 100, total: 12 })
  })

  it.each([
    'limit=0',
    'limit=-1',
    'limit=x',
    'limit=',
    'limit=1.5',
    'offset=-1',
    'offset=x',
    'limit=1&limit=2',
    'page=1',
  ])('refuses %s', async (query) => {
    const { body } = await user.get(`/api/v1/flows?${query}`).expect(400)
    expect(body.error).toMatchObject({ code: 'invalid_request', details: { field: query.split('=')[0] } })
    expect(body.errors).toHaveLength(1)
  })

  it('is empty for another account, to whom no flow of this one exists', async () => {
    const stranger = await user.colleague('stranger@example.com')
    expect((await stranger.get('/api/v1/flows').expect(200)).body).toMatchObject({ flows: [], total: 0 })
    const [id] = made
    const unknown = await stranger.get('/api/v1/flows/flow_00000000000000000000000000').expect(404)
    const foreign = await stranger.get(`/api/v1/flows/${id}`).expect(404)
    expect(Object.keys(foreign.body)).toEqual(Object.keys(unknown.body))
    await stranger.put(`/api/v1/flows/${id}`, { name: 'Mine' }).expect(404)
    await stranger.delete(`/api/v1/flows/${id}`).expect(404)
    await stranger.post(`/api/v1/flows/${id}/run`, {}).expect(404)
    expect((await user.get(`/api/v1/flows/${id}`).expect(200)).body.name).toBe('Flow 0')
  })
})

describe('a definition', () => {
  const create = (definition: unknown) => user.post('/api/v1/flows', { name: 'Spec', definition })

  it('is only looked at by a viewer, from the moment that an account is one', async () => {
    const author = await user.colleague('author@example.com')
    const id = await author.flow({ start: { type: 'transform', params: { mapping: {} } } })
    await user.put(`/api/v1/accounts/${author.accountId}`, { role: 'viewer' }).expect(200)
    await author.get(`/api/v1/flows/${id}`).expect(200)
    await author.get('/api/v1/executions').expect(200)
    const refused = [
      author.post('/api/v1/flows', { name: 'More', definition: 'x' }),
      author.put(`/api/v1/flows/${id}`, { name: 'Other' }),
      author.delete(`/api/v1/flows/${id}`),
      author.post(`/api/v1/flows/${id}/run`, {}),
      author.delete('/api/v1/executions/run_of_theirs'),
      author.post('/api/v1/signals/key', {}),
      author.post(`/api/v1/accounts/${author.accountId}/secrets`, { key: 'KEY', value: 'value' }),
      author.delete(`/api/v1/accounts/${author.accountId}/secrets/KEY`),
    ]
    for (const request of refused) expect((await request.expect(403)).body.error.code).toBe('forbidden')
  })

  it('is refused with all of its faults at once, each with its place in the text', async () => {
    const definition = [
      'metadata:',
      '  version: "1"',
      'nodes:',
      '  start:',
      '    type: http.request',
      '    params:',
      '      method: GET',
      '    next:',
      '      default: nowhere',
      '  other:',
      '    type: telepathy',
      '    retry:',
      '      wait: soon',
      'extra: 1',
    ].join('\n')
    const { body } = await create(definition).expect(422)
    expect(body.errors).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ detail: 'flow name is required', path: '/metadata/name', line: 1, column: 1 }),
        expect.objectContaining({
          detail: "node 'start' references non-existent node 'nowhere' for action 'default'",
          path: '/nodes/start/next/default',
          line: 9,
          column: 16,
        }),
        expect.objectContaining({
          detail: "unknown node type 'telepathy' in node 'other'",
          path: '/nodes/other/type',
          line: 11,
          column: 11,
        }),
        expect.objectContaining({ path: '/nodes/other/retry/wait', line: 13, column: 13 }),
        expect.objectContaining({ path: '/extra', line: 14, column: 1 }),
      ]),
    )
    for (const fault of body.errors) expect(fault).toMatchObject({ pointer: '#/definition', code: expect.any(String) })
    const lines = body.errors.map(({ line }: { line: number }) => line)
    expect(lines).toEqual([...lines].sort((a, b) => a - b))
    expect(body.error).toMatchObject({ code: 'validation_error', details: { field: 'definition' } })
    const total = (await user.get('/api/v1/flows').expect(200)).body.total
    expect(total).toBe(0)
  })

  it.each([
    ['a: [', /^invalid YAML: /],
    ['metadata: {name: x}', /^flow must have at least one node$/],
    ['metadata: {name: x}\nnodes: {}', /^flow must have at least one node$/],
    [
      definitionOf({ a: { type: 'delay', params: { duration: '1s' }, next: { default: 'a' } } }),
      /^no start node found$/,
    ],
    [
      definitionOf({
        a: { type: 'delay', params: { duration: '1s' } },
        b: { type: 'delay', params: { duration: '1s' } },
      }),
      /^multiple start nodes found: 'a' and 'b'$/,
    ],
    ['just text', /./],
    [definitionOf({ start: { type: 'transform', params: { script: 'return "\0"' } } }), /U\+0000|invalid YAML/],
  ])('is refused in the documented words: %s', async (definition, words) => {
    const { body } = await create(definition).expect(422)
    const details = body.errors.map(({ detail }: { detail: string }) => detail)
    expect(
      details.some((detail: string) => words.test(detail)),
      details.join('; '),
    ).toBe(true)
  })

  it('is refused when it grows out of bounds, without work or memory to speak of', async () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
    for (let level = 1; level < 9; level++) {
      const [alias, next] = [String.fromCharCode(96 + level), String.fromCharCode(97 + level)]
      bomb.push(`${next}: &${next} [${Array(10).fill(`*${alias}`).join(', ')}]`)
    }
    const { body } = await create(`${bomb.join('\n')}\nmetadata: {name: x}\nnodes: {}`).expect(422)
    expect(JSON.stringify(body).length).toBeLessThan(100_000)
    await create(`metadata: {name: "${'x'.repeat(1_100_000)}"}`).expect(413)
    await create('['.repeat(100_000)).expect(422)
  })

  it('must be text without U+0000, as must everything else', async () => {
    const { body } = await user
      .post('/api/v1/flows', { name: 'a\0b', definition: DEFINITION, tags: ['ok'] })
      .expect(422)
    expect(body.errors[0]).toMatchObject({ pointer: '#/name', code: 'nul' })
    await user.post('/api/v1/flows', { name: 'x', definition: DEFINITION, tags: ['a\0'] }).expect(422)
    await user.get('/api/v1/flows/%00').expect(400)
    await user.get('/api/v1/flows?tag=%00').expect(400)
    await create({ metadata: {} }).expect(422)
    await create('').expect(422)
  })

  it('gives the flow its description and version where the body says nothing', async () => {
    const definition = definitionOf(ECHO, { description: 'From the YAML', version: '2.1' })
    const { body } = await create(definition).expect(201)
    expect(body).toMatchObject({ name: 'Spec', description: 'From the YAML', version: '2.1', tags: [] })
    await user.delete(`/api/v1/flows/${body.id}`).expect(200)
  })
})

it('names a member that it does not know', async () => {
  const { body } = await user.post('/api/v1/flows', { ...MY_FLOW, colour: 'red' }).expect(422)
  expect(body.errors).toEqual([{ pointer: '#/colour', detail: "'colour' is not known here", code: 'unknown_member' }])
  expect(body.error.details).toEqual({ field: 'colour', reason: "'colour' is not known here" })
})

describe('an update', () => {
  let id: string
  let etag: string

  beforeEach(async () => {
    const { body, headers } = await user.post('/api/v1/flows', MY_FLOW).expect(201)
    id = body.id
    etag = headers.etag ?? ''
  })

  afterEach(() => user.delete(`/api/v1/flows/${id}`))

  it('leaves what it does not name', async () => {
    const { body } = await user.put(`/api/v1/flows/${id}`, { tags: [] }).expect(200)
    expect(body).toMatchObject({ name: 'My Flow', description: 'A simple flow', version: '1.0.0', tags: [] })
    expect((await user.get(`/api/v1/flows/${id}`)).body.definition).toBe(DEFINITION)
  })

  it('with an invalid definition changes nothing', async () => {
    await user.put(`/api/v1/flows/${id}`, { name: 'New', definition: 'nodes: {}' }).expect(422)
    await user.put(`/api/v1/flows/${id}`, { name: '' }).expect(422)
    await user.put(`/api/v1/flows/${id}`, { name: null }).expect(422)
    expect((await user.get(`/api/v1/flows/${id}`)).body).toMatchObject({ name: 'My Flow', definition: DEFINITION })
  })

  it('is refused when the flow has changed since it was read', async () => {
    expect((await user.get(`/api/v1/flows/${id}`).expect(200)).headers.etag).toBe(etag)
    const put = (tag: string, name: string) => user.put(`/api/v1/flows/${id}`, { name }).set('If-Match', tag)
    const first = await put(etag, 'First').expect(200)
    expect(first.headers.etag).not.toBe(etag)
    const second = await put(etag, 'Second').expect(412)
    expect(second.body).toMatchObject({ type: '/problems/precondition-failed', error: { code: 'precondition_failed' } })
    expect((await user.get(`/api/v1/flows/${id}`)).body.name).toBe('First')
    await put(first.headers.etag ?? '', 'Third').expect(200)
    await put('*', 'Fourth').expect(200)
    await put(`"other", ${etag}`, 'Fifth').expect(412)
    await put('no tag', 'Sixth').expect(400)
  })

  it('is one of many at once, of which each is told its own version', async () => {
    const tags = await Promise.all(
      Array.from({ length: 5 }, async (_, number) => {
        const { headers } = await user.put(`/api/v1/flows/${id}`, { name: `Name ${number}` }).expect(200)
        return headers.etag
      }),
    )
    expect(new Set(tags).size).toBe(5)
  })
})

describe('a running execution', () => {
  const waiting = (words: string) => ({
    start: { type: 'wait', params: { key: 'flows-spec', timeout: '1m' }, next: { default: 'end' } },
    end: { type: 'transform', params: { script: `return { words: '${words}' }` } },
  })
  const release = (delivered: number) =>
    user.post('/api/v1/signals/flows-spec', {}).expect(200, { key: 'flows-spec', delivered, kept: false })

  async function parked(flowId: string): Promise<string> {
    const id = await user.start(flowId)
    await user.waits(id)
    return id
  }

  it('stays with the revision that it was started with', async () => {
    const flow = await user.flow(waiting('old'))
    const before = await parked(flow)
    await user
      .put(`/api/v1/flows/${flow}`, { definition: definitionOf(waiting('new'), { version: '2.0.0' }) })
      .expect(200)
    const after = await parked(flow)
    await release(2)
    expect((await user.ended(before)).result).toEqual({ words: 'old' })
    expect((await user.ended(after)).result).toEqual({ words: 'new' })
  })

  it('goes on to its end when its flow is deleted, and stays readable', async () => {
    const flow = await user.flow(waiting('end'))
    const id = await parked(flow)
    await user.delete(`/api/v1/flows/${flow}`).expect(200)
    await release(1)
    expect(await user.ended(id)).toMatchObject({ flow_id: flow, status: 'completed', result: { words: 'end' } })
    expect((await user.logs(id)).at(-1)).toMatchObject({ message: 'Execution completed', node_id: 'end' })
    const { body } = await user.get(`/api/v1/executions?flow_id=${flow}`).expect(200)
    expect(body.total).toBe(1)
  })
})

it('keeps an account that owns flows, or has an execution under way, from being deleted', async () => {
  const owner = await user.colleague('owner@example.com')
  const flow = await owner.flow({ start: { type: 'wait', params: { key: 'owner', timeout: '1m' } } })
  const execution = await owner.start(flow)
  const both = await user.delete(`/api/v1/accounts/${owner.accountId}`).expect(409)
  expect(both.body.error).toEqual({
    code: 'conflict',
    message: 'The account still owns 1 flow and 1 unfinished execution',
  })
  await owner.delete(`/api/v1/flows/${flow}`).expect(200)
  const one = await user.delete(`/api/v1/accounts/${owner.accountId}`).expect(409)
  expect(one.body.detail).toBe('The account still owns 1 unfinished execution')
  await owner.delete(`/api/v1/executions/${execution}`).expect(200)
  await user.delete(`/api/v1/accounts/${owner.accountId}`).expect(200)
  await owner.get('/api/v1/flows').expect(401)
})
