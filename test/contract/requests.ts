import type { Test } from 'supertest'
import type { Schema } from '../../src/platform/openapi/document.js'
import type { ApiUnderTest } from '../support/api.js'
import type { Published, PublishedSpec } from '../support/published.js'

/** A request as the document itself shows it. */
export interface ExampleRequest {
  path: string
  /** The JSON body's example and its schema; undefined where the operation takes none. */
  body?: { example: Record<string, unknown>; schema: Schema }
}

export function exampleRequest(spec: PublishedSpec, { path, operation }: Published): ExampleRequest {
  const filled = path.replace(/\{([^}]+)\}/g, (_, name: string) => {
    const parameter = operation.parameters?.find((one) => one.name === name)
    return encodeURIComponent(String(parameter?.example))
  })
  const media = operation.requestBody?.content['application/json']
  const [example] = Object.values(media?.examples ?? {})
  if (!media?.schema || !example) return { path: filled }
  return {
    path: filled,
    body: { example: example.value as Record<string, unknown>, schema: spec.schemaOf(media.schema) },
  }
}

export interface Sending {
  authorization?: string
  /** In place of the example's path. */
  path?: string
  /** JSON text or a value, in place of the example; null sends no body. */
  body?: unknown
  contentType?: string
}

/** Sends the example of an operation, or what is given in place of its parts. */
export function send(api: ApiUnderTest, published: Published, sending: Sending): Test {
  const example = exampleRequest(api.spec, published)
  const test = api.ask(published.method as 'get', sending.path ?? example.path)
  if (sending.authorization !== undefined) test.set('Authorization', sending.authorization)
  const body = sending.body === undefined ? example.body?.example : sending.body
  if (body === undefined || body === null) return test
  test.set('Content-Type', sending.contentType ?? 'application/json')
  return test.send(typeof body === 'string' ? body : JSON.stringify(body))
}
