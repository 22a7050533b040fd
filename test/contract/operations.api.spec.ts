import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { methods } from '../../src/platform/openapi/document.js'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'
import type { Published } from '../support/published.js'
import { escaped } from '../support/published.js'
import { exampleRequest, send } from './requests.js'

/** What anybody may ask. Adding to this list is a decision. */
const PUBLIC = ['facilflow_health_get', 'flow8_auth_login', 'flowRunner_auth_login', 'flwd_health_get']

let api: ApiUnderTest

beforeAll(async () => {
  api = await apiUnderTest()
})

afterAll(() => api.close())

describe('every operation', () => {
  it('declares its security, and is public only by decision', () => {
    for (const { operation } of api.spec.operations) {
      expect(operation.security, operation.operationId).toBeDefined()
      const isPublic = operation.security?.length === 0
      expect(isPublic, operation.operationId).toBe(PUBLIC.includes(operation.operationId))
      if (!isPublic) expect(operation.responses[401], operation.operationId).toBeDefined()
    }
  })

  it('has examples that are valid against their schemas', () => {
    const faults = api.spec.operations.flatMap((published) => exampleFaults(published))
    expect(faults).toEqual([])
  })

  it('has an example for each success and each body', () => {
    for (const { operation } of api.spec.operations) {
      const successes = Object.entries(operation.responses).filter(([status]) => status < '300')
      expect(successes, operation.operationId).not.toHaveLength(0)
      const answers = successes.flatMap(([, response]) => Object.values(response.content ?? {}))
      for (const media of [...answers, ...Object.values(operation.requestBody?.content ?? {})]) {
        expect(Object.keys(media.examples ?? {}), operation.operationId).not.toHaveLength(0)
      }
    }
  })

  it('refuses whoever does not say who they are', async () => {
    for (const published of api.spec.operations.filter(({ operation }) => operation.security?.length)) {
      const { headers } = await send(api, published, {}).expect(401)
      expect(headers['www-authenticate'], published.operation.operationId).toBeTruthy()
    }
  })

  it('refuses credentials that are made up', async () => {
    const madeUp = ['Bearer x', 'Bearer eyJhbGciOiJub25lIn0.e30.', 'Bearer ', 'Basic !!!', 'Digest x', 'x']
    for (const published of api.spec.operations.filter(({ operation }) => operation.security?.length)) {
      for (const authorization of madeUp) await send(api, published, { authorization }).expect(401)
    }
  })
})

describe('every path', () => {
  it('answers methods that it does not have with 405 and those that it has in Allow', async () => {
    const paths = new Map<string, Published[]>()
    for (const published of api.spec.operations) {
      const { path } = exampleRequest(api.spec, published)
      paths.set(path, [...(paths.get(path) ?? []), published])
    }
    for (const path of paths.keys()) {
      const has = methods.filter((method) => api.spec.find(method, path))
      for (const method of methods.filter((one) => !has.includes(one))) {
        const { headers, body } = await api.ask(method, path).expect(405)
        const allowed = headers.allow?.split(', ') ?? []
        expect(allowed, `${method} ${path}`).toEqual(expect.arrayContaining(has.map((one) => one.toUpperCase())))
        expect(allowed).not.toContain(method.toUpperCase())
        expect(body.status).toBe(405)
      }
      const options = await api.ask('options', path).expect(204)
      expect(options.headers.allow).toContain(has[0]?.toUpperCase())
    }
  })

  it('is a problem in the fullest spelling of its prefix where nothing is', async () => {
    const v1 = await api.get('/api/v1/nothing/here').expect(404)
    expect(v1.body).toMatchObject({
      type: '/problems/unknown-path',
      instance: '/api/v1/nothing/here',
      error: { code: 'not_found' },
    })
    const api8 = await api.get('/api/nothing').expect(404)
    expect(api8.body).toMatchObject({ error: 'NOT_FOUND', statusCode: 404 })
    const plain = await api.get('/nothing').expect(404)
    expect(plain.body).not.toHaveProperty('error')
  })
})

function exampleFaults({ path, method, operation }: Published): string[] {
  const at = `published#/paths/${escaped(path)}/${method}`
  const media = [
    ...Object.entries(operation.requestBody?.content ?? {}).map(([type, one]) => ({
      ref: `${at}/requestBody/content/${escaped(type)}/schema`,
      one,
    })),
    ...Object.entries(operation.responses).flatMap(([status, response]) =>
      Object.entries(api.spec.resolved(response).content ?? {}).map(([type, one]) => {
        const pointer = response.$ref ? `published${response.$ref}` : `${at}/responses/${status}`
        return { ref: `${pointer}/content/${escaped(type)}/schema`, one }
      }),
    ),
  ]
  return media
    .filter(({ ref }) => /json\/schema$/.test(ref))
    .flatMap(({ ref, one }) =>
      Object.values(one.examples ?? {}).flatMap(({ value }) =>
        api.spec.schemaFaults(ref, value).map((fault) => `${operation.operationId}: ${fault}`),
      ),
    )
}
