import { beforeAll, describe, expect, it } from 'vitest'
import { breakingChanges, type Contract, mayBreak, namesOfDocument, presentContract } from '../../scripts/contract.js'
import type { Document, Operation, Parameter, Schema } from '../../src/platform/openapi/document.js'

let present: Contract

beforeAll(() => {
  present = presentContract()
})

const operation = (document: Document, id: string): Operation => {
  const found = Object.values(document.paths).flatMap((item) => Object.values(item))
  return found.find(({ operationId }) => operationId === id) as Operation
}
const parameter = (document: Document, id: string, name: string) =>
  operation(document, id).parameters?.find((one) => one.name === name) as Parameter & { schema: Schema }
const schema = (document: Document, name: string) =>
  document.components.schemas[name] as Schema & { required: string[] }
const member = (document: Document, name: string, of: string) => schema(document, name).properties?.[of] as Schema
const without = <T>(list: readonly T[] = [], ...gone: T[]) => list.filter((one) => !gone.includes(one))

/** Each in a place of its own, so that one comparison finds all of them. */
const breaking: [what: string, change: (document: Document) => void, said: RegExp][] = [
  ['an operation is gone', (d) => delete d.paths['/api/kv/{id}']?.delete, /\/api\/kv\/\{id\}.*delete/i],
  ['a path is gone', (d) => delete d.paths['/api/v1/system/info'], /\/api\/v1\/system\/info/],
  [
    'an operation is called otherwise',
    (d) => Object.assign(operation(d, 'flow8_groups_list'), { operationId: 'flow8_groups_all' }),
    /flow8_groups_list.*flow8_groups_all/,
  ],
  [
    'a member of an answer is gone',
    (d) => {
      delete schema(d, 'FlowRunnerAccount').properties?.role
      schema(d, 'FlowRunnerAccount').required = without(schema(d, 'FlowRunnerAccount').required, 'role')
    },
    /\/accounts.*role/,
  ],
  [
    'a member of an answer may be missing',
    (d) => Object.assign(schema(d, 'FlwdHealth'), { required: without(schema(d, 'FlwdHealth').required, 'version') }),
    /\/api\/v1\/health.*version/,
  ],
  [
    'a member of an answer has another type',
    (d) => (member(d, 'FacilFlowBucket', 'name').type = 'integer'),
    /buckets.*type/i,
  ],
  [
    'a member of an answer may be null',
    (d) => (member(d, 'FlwdArtifact', 'path').type = ['string', 'null']),
    /artifacts.*path/,
  ],
  ['an answer has words that were not there', (d) => schema(d, 'FlwdRunStatus').enum?.push('x'), /runs.*status/],
  [
    'a member of a body is asked for',
    (d) => schema(d, 'FlowRunnerNewFlow').required.push('tags'),
    /\/api\/v1\/flows\/post.*tags/,
  ],
  [
    'a member of a body is not known any more',
    (d) => delete schema(d, 'Flow8NewGroup').properties?.index,
    /groups.*index/,
  ],
  [
    'a member of a body takes less',
    (d) => (member(d, 'FlowRunnerNewAccount', 'name').maxLength = 3),
    /accounts.*maxLength/,
  ],
  [
    'a parameter of the query is gone',
    (d) => {
      const one = operation(d, 'flwd_jobs_list')
      one.parameters = one.parameters?.filter(({ name }) => name !== 'namespace')
    },
    /namespace/,
  ],
  [
    'a parameter is asked for',
    (d) => (parameter(d, 'flow8_modules_list', 'category').required = true),
    /category.*required/,
  ],
  ['a parameter takes less', (d) => (parameter(d, 'flwd_runs_list', 'offset').schema.maximum = 5), /runs.*<= 5/],
  ['a status is gone', (d) => delete operation(d, 'flow8_plays_get').responses[404], /plays.*404/],
  [
    'a success has another status',
    (d) => {
      const { responses } = operation(d, 'flow8_channels_create')
      responses[202] = responses[201] as never
      delete responses[201]
    },
    /channels.*201/,
  ],
  [
    'an answer has another media type',
    (d) => {
      const content = operation(d, 'facilflow_health_get').responses[200]?.content ?? {}
      content['text/plain'] = content['application/json'] as never
      delete content['application/json']
    },
    /\/api\/health.*application\/json/,
  ],
  [
    'a header of an answer is gone',
    (d) => delete operation(d, 'flowRunner_accounts_create').responses[201]?.headers?.Location,
    /accounts.*Location/,
  ],
  [
    'credentials are asked for',
    (d) => (operation(d, 'flwd_health_get').security = [{ bearer: [] }]),
    /health.*security/i,
  ],
  [
    'credentials are not taken any more',
    (d) => operation(d, 'flowRunner_flows_list').security?.pop(),
    /\/api\/v1\/flows.*security/i,
  ],
  // What Redocly's comparison passes over, and the names tell.
  [
    'a parameter of the path is called otherwise',
    (d) => (parameter(d, 'flow8_groups_get', 'id').name = 'groupId'),
    /path of flow8_groups_get: id$/,
  ],
  [
    'a parameter of the path takes one segment only',
    (d) => delete parameter(d, 'flwd_jobs_get', 'job_id')['x-holds-slashes'],
    /path of flwd_jobs_get: job_id\*$/,
  ],
  [
    'a tag is called otherwise',
    (d) => (operation(d, 'flow8_kv_list').tags = ['flow8: Entries']),
    /tag of flow8_kv_list: flow8: KV$/i,
  ],
  [
    'a schema is called otherwise',
    (d) => {
      const { schemas } = d.components
      schemas.FlwdSystem = schemas.FlwdSystemInfo as Schema
      delete schemas.FlwdSystemInfo
    },
    /schema FlwdSystemInfo$/,
  ],
  [
    'what is left out means something else',
    (d) => (parameter(d, 'flowRunner_accounts_list', 'limit').schema.default = 20),
    /default of flowRunner_accounts_list: limit=10$/,
  ],
]

const harmless: [what: string, change: (document: Document) => void][] = [
  [
    'an operation is new',
    (d) => {
      const copy = structuredClone(operation(d, 'flwd_health_get'))
      d.paths['/api/v1/health/more'] = { get: { ...copy, operationId: 'flwd_health_more' } }
    },
  ],
  [
    'a member of an answer is new',
    (d) => Object.assign(schema(d, 'FlwdHealth').properties as object, { more: { type: 'string' } }),
  ],
  [
    'a member of a body is new',
    (d) => Object.assign(schema(d, 'FlowRunnerNewFlow').properties as object, { more: { type: 'string' } }),
  ],
  [
    'a parameter is new',
    (d) =>
      operation(d, 'flwd_jobs_list').parameters?.push({
        name: 'more',
        in: 'query',
        required: false,
        description: 'More.',
        schema: { type: 'integer', default: 1 },
      }),
  ],
  ['a body takes more', (d) => (member(d, 'FlowRunnerNewFlow', 'name').maxLength = 5_000)],
  [
    'an error is new',
    (d) => Object.assign(operation(d, 'flwd_jobs_list').responses, { 409: { description: 'Conflict.' } }),
  ],
  ['words for people change', (d) => Object.assign(operation(d, 'flwd_jobs_list'), { description: 'Other words.' })],
]

function changed(changes: readonly { 1: (document: Document) => void }[]): Contract {
  const document = structuredClone(present.document)
  for (const { 1: change } of changes) change(document)
  const names = namesOfDocument(document)
  const before = new Set(namesOfDocument(present.document))
  return { document, names: [...present.names.filter((name) => !before.has(name)), ...names] }
}

describe('what breaks a client', () => {
  let found: string[]

  beforeAll(() => {
    found = breakingChanges(present, changed(breaking))
  }, 120_000)

  it.each(breaking)('is found where %s', (_, _change, said) => {
    expect(found).toContainEqual(expect.stringMatching(said))
  })

  it('is found where the SDK loses a method', () => {
    const { document, names } = present
    const lost = breakingChanges(present, {
      document,
      names: names.filter((name) => name !== 'method flow8.plays.list'),
    })
    expect(lost).toEqual(['no more: method flow8.plays.list'])
  })
})

it('what only adds breaks nobody', { timeout: 120_000 }, () => {
  expect(breakingChanges(present, changed(harmless))).toEqual([])
})

it('only a version that says so may break what another promised', () => {
  expect(mayBreak('0.1.0', '0.1.7')).toBe(false)
  expect(mayBreak('0.1.0', '0.2.0')).toBe(true)
  expect(mayBreak('0.9.0', '1.0.0')).toBe(true)
  expect(mayBreak('1.2.3', '1.3.0')).toBe(false)
  expect(mayBreak('1.2.3', '2.0.0')).toBe(true)
  expect(mayBreak('2.0.0', '1.9.0')).toBe(false)
})
