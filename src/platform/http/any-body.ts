import express, { type Request, type Response } from 'express'
import type { Json, JsonObject } from '../json.js'
import { InvalidRequest } from './faults.js'
import { inspect, refusal } from './json-body.js'
import { UnsupportedMediaType } from './refusals.js'

const FORM = 'application/x-www-form-urlencoded'
const MULTIPART = 'multipart/form-data'
/** Types that are text though they do not begin with `text/`. */
const TEXTUAL = /^(text\/.*|application\/(xml|javascript|yaml|graphql|x-yaml|x-ndjson)|.*\+xml)$/

/**
 * A body of whatever type, as JSON, for routes that take what anybody sends: JSON as it is; the fields of a form, each a text, or a list
 * where it comes repeatedly; other text as one text; anything else as `{contentType, base64}`, as are files in a form. Null where
 * there is none.
 */
export async function readAnyBody(request: Request, response: Response, limit: number): Promise<Json> {
  const bytes = await read(request, response, limit)
  if (bytes.length === 0) return null
  const header = request.headers['content-type'] ?? ''
  const body = await decoded(header, typeOf(header), bytes)
  inspect(body)
  return body
}

/** A JSON text of a caller's, held to the same rules as a body. `what` is what the text is called, such as `The message`. */
export function jsonFrom(text: string, what: string): Json {
  const value = parsed(text, what)
  inspect(value)
  return value
}

/** Members by name; a name that comes repeatedly has the list of its values. */
export function multimap<T extends Json>(entries: Iterable<readonly [string, T]>): JsonObject {
  const lists = Map.groupBy(entries, ([name]) => name)
  return Object.fromEntries(
    [...lists].map(([name, list]) => [name, list.length === 1 ? (list[0]?.[1] ?? null) : list.map(([, one]) => one)]),
  )
}

function read(request: Request, response: Response, limit: number): Promise<Buffer> {
  const parse = express.raw({ limit, type: () => true })
  return new Promise((resolve, reject) => {
    parse(request, response, (error?: { type?: string; limit?: number }) => {
      if (error) reject(refusal(error))
      else resolve(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0))
    })
  })
}

async function decoded(header: string, type: string, bytes: Buffer): Promise<Json> {
  if (type === 'application/json' || type.endsWith('+json')) return parsed(textOf(header, bytes), 'The body')
  if (type === FORM) return multimap(new URLSearchParams(textOf(header, bytes)))
  if (type === MULTIPART) return await fieldsOf(header, bytes)
  return TEXTUAL.test(type) ? textOf(header, bytes) : binary(type, bytes)
}

function parsed(text: string, what: string): Json {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidRequest(`${what} is not valid JSON`)
  }
}

function textOf(header: string, bytes: Buffer): string {
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(header)?.[1] ?? 'utf-8'
  let decoder: InstanceType<typeof TextDecoder>
  try {
    decoder = new TextDecoder(charset, { fatal: true })
  } catch {
    throw new UnsupportedMediaType([typeOf(header)])
  }
  try {
    return decoder.decode(bytes)
  } catch {
    throw new InvalidRequest(`The body is not text in ${charset}`)
  }
}

async function fieldsOf(header: string, bytes: Buffer): Promise<JsonObject> {
  try {
    const form = await new globalThis.Response(new Uint8Array(bytes), {
      headers: { 'content-type': header },
    }).formData()
    const fields = [...form].map(async ([name, value]): Promise<[string, Json]> => {
      if (typeof value === 'string') return [name, value]
      const content = binary(value.type, Buffer.from(await value.arrayBuffer()))
      return [name, { fileName: value.name, ...content }]
    })
    return multimap(await Promise.all(fields))
  } catch {
    throw new InvalidRequest('The body is not a valid form')
  }
}

function binary(contentType: string, bytes: Buffer) {
  return { contentType: contentType || 'application/octet-stream', base64: bytes.toString('base64') }
}

function typeOf(header: string): string {
  return header.split(';')[0]?.trim().toLowerCase() ?? ''
}
