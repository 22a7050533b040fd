import { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'
import { UNAUDITED } from '../support/audit-witness.js'
import type { Published } from '../support/published.js'
import { send } from './requests.js'

/**
 * Every call that could change something leaves an entry in the audit trail, whatever comes of it: who, what, from where, in which
 * request, with which outcome. That every call which did change something has left one is held by `ApiUnderTest` in all HTTP specs, and
 * that each operation is seen to succeed in one of them by `check:coverage`.
 */

let api: ApiUnderTest
let changing: Published[]

beforeAll(async () => {
  api = await apiUnderTest()
  changing = api.spec.operations.filter(({ method }) => method !== 'get')
})

afterAll(() => api.close())

it('every operation that changes something, by its example', { timeout: 120_000 }, async () => {
  const unaudited: string[] = []
  for (const published of changing) {
    const { operationId, security } = published.operation
    if (operationId in UNAUDITED) continue
    const authorization = security?.length === 0 ? undefined : await api.asAdmin()
    const { status, headers } = await send(api, published, { authorization })
    const [entry] = await entriesOf(headers['x-request-id'])
    const fault = entry ? faultOf(entry, status, security?.length !== 0) : `${status} left no entry`
    if (fault) unaudited.push(`${operationId}: ${fault}`)
    api.forgetToken()
  }
  expect(unaudited).toEqual([])
})

it('every operation that a role is missing for', { timeout: 120_000 }, async () => {
  let authorization = await viewer()
  const unaudited: string[] = []
  let refused = 0
  for (const published of changing.filter(({ operation }) => operation.security?.length && operation.responses[403])) {
    const { status, headers } = await send(api, published, { authorization })
    if (status !== 403) {
      // What a viewer may do includes logging out.
      authorization = await viewer()
      continue
    }
    refused += 1
    const [entry] = await entriesOf(headers['x-request-id'])
    const { operationId } = published.operation
    if (entry?.outcome !== 'failure' || entry.after?.problem !== 'forbidden') unaudited.push(operationId)
  }
  expect(refused).toBeGreaterThan(0)
  expect(unaudited).toEqual([])
})

it('and the trail is whole', async () => {
  const { body } = await api
    .get('/api/audit/verify')
    .set('Authorization', await api.asAdmin())
    .expect(200)
  expect(body).toEqual({ valid: true, checked: expect.any(Number) })
})

it('the exceptions are operations that are there', () => {
  const known = changing.map(({ operation }) => operation.operationId)
  expect(Object.keys(UNAUDITED).filter((id) => !known.includes(id))).toEqual([])
})

interface Entry {
  outcome: string
  ip: string | null
  actor_id: string | null
  action: string
  after: { problem?: string; status?: number } | null
}

function faultOf({ outcome, ip, actor_id, action }: Entry, status: number, isKnown: boolean): string | undefined {
  if (outcome !== (status < 300 ? 'success' : 'failure')) return `${status} is a ${outcome}`
  if (!ip) return 'lacks where it came from'
  if (isKnown && !actor_id) return 'lacks who it was'
  return /^[a-zA-Z]+\.[a-zA-Z_]+$/.test(action) ? undefined : `'${action}' is no action`
}

async function entriesOf(requestId: unknown): Promise<Entry[]> {
  return await api.app.get(DataSource).query('select * from audit_entry where request_id = $1', [requestId])
}

let viewers = 0

async function viewer(): Promise<string> {
  const account = {
    name: 'Viewer',
    email: `viewer${++viewers}@example.com`,
    password: 'correct horse battery',
    role: 'viewer',
  }
  await api
    .post('/api/v1/accounts')
    .set('Authorization', await api.asAdmin())
    .send(account)
    .expect(201)
  return `Bearer ${await api.login(account.email, account.password)}`
}
