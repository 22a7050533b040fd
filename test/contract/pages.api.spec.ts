import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Operation } from '../../src/platform/openapi/document.js'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'
import { FlowRunnerUser } from '../support/flowrunner-user.js'

/** Whoever follows `next` from the first page sees every thing once, on every surface and without knowing how it counts. */

const FLOW =
  'metadata: {name: One}\nnodes:\n  a: {type: transform, params: {script: "console.log(1); console.log(2); console.log(3); return 1"}}\n'

let api: ApiUnderTest
let user: FlowRunnerUser
let runId: string

beforeAll(async () => {
  api = await apiUnderTest({ RATE_LIMIT: '100000' })
  user = await FlowRunnerUser.login(api)
  for (const name of ['One', 'Two', 'Three']) {
    const flow = await user.post('/api/v1/flows', { name, definition: FLOW, tags: ['a b&c'] }).expect(201)
    runId = await user.start(flow.body.id)
    await user.ended(runId)
    await user.post('/api/groups', { name }).expect(201)
    await user.post('/api/buckets', { name: `bucket-${name.toLowerCase()}` }).expect(201)
    await api
      .post('/api/buckets/bucket-one/objects')
      .set('Authorization', user.authorization)
      .attach('file', Buffer.from(name), { filename: `${name} of&+ü.txt` })
      .expect(201)
  }
})

afterAll(() => api.close())

const listings = (): Operation[] =>
  api.spec.operations.map(({ operation }) => operation).filter(({ responses }) => responses[200]?.headers?.Link)

it('every operation that takes a page tells of the others', () => {
  const takesPage = ({ parameters = [] }: Operation) =>
    parameters.some(({ in: place, name }) => place === 'query' && /^(offset|page|continuation)$/.test(name ?? ''))
  const ids = (operations: Operation[]) => operations.map(({ operationId }) => operationId)
  expect(ids(listings())).toEqual(ids(api.spec.operations.map(({ operation }) => operation).filter(takesPage)))
  expect(listings().length).toBeGreaterThan(20)
})

describe('a list', () => {
  it.each([
    ['/api/v1/flows?tag=a+b%26c&limit=1', 'flows'],
    ['/api/v1/executions?limit=2', 'executions'],
    ['/api/v1/accounts?limit=1', 'accounts'],
    ['/api/flows?size=1', 'data'],
    ['/api/plays?size=2', 'data'],
    ['/api/groups?size=1', 'data'],
    ['/api/modules?size=7', 'data'],
    ['/api/users?limit=1', 'users'],
    ['/api/audit/logs?limit=4', 'logs'],
    ['/api/v1/jobs?limit=1', 'jobs'],
    ['/api/v1/runs?limit=1', 'runs'],
    ['/api/v1/artifacts?limit=1', 'artifacts'],
    ['/api/buckets/bucket-one/objects?limit=1', 'objects'],
  ])('%s is read to its end by its links', async (path, member) => {
    const whole = path.replace(/(limit|size)=\d+$/, '$1=100')
    const { body, headers } = await user.get(whole).expect(200)
    expect(headers.link).not.toContain('rel="next"')
    expect(await followed(path, member)).toEqual(body[member])
  })

  it('of lines of a log, which its handler sends itself, too', async () => {
    for (const path of [`/api/v1/executions/${runId}/logs`, `/api/v1/runs/${runId}/logs`]) {
      const { body } = await user.get(`${path}?limit=1000`).expect(200)
      expect(await followed(`${path}?limit=1`, 'logs')).toEqual(body.logs)
    }
  })
})

/** What all pages hold together, each found by the `next` of the one before; the first one is where `first` says. */
async function followed(path: string, member: string): Promise<unknown[]> {
  const things: unknown[] = []
  let next: string | undefined = path
  while (next !== undefined) {
    const { body, headers } = await user.get(next).expect(200)
    things.push(...body[member])
    if (next === path) {
      const first = await user.get(relation(headers.link, 'first') ?? '').expect(200)
      expect(first.body[member]).toEqual(body[member])
    }
    next = relation(headers.link, 'next')
  }
  return things
}

function relation(header: string | undefined, name: string): string | undefined {
  return new RegExp(`<([^>]*)>; rel="${name}"`).exec(header ?? '')?.[1]
}
