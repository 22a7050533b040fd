import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { Document, Operation, Response, Schema } from '../../src/platform/openapi/document.js'
import { operationsOf } from '../../src/platform/openapi/document.js'
import { walk } from '../../src/platform/openapi/schemas.js'

/** An answer, as far as it is held against the document. */
export interface Answer {
  status: number
  headers: Record<string, unknown>
  /** Parsed where it is JSON. */
  body: unknown
}

/** An operation and where it is. */
export interface Published {
  path: string
  method: string
  operation: Operation
}

/** The published document as a judge of answers: an undocumented status, content type or member is a fault. */
export class PublishedSpec {
  readonly operations: Published[]
  private readonly patterns: { pattern: RegExp; literals: number; published: Published }[]
  private readonly ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true })
  private readonly validators = new Map<string, ValidateFunction>()

  constructor(private readonly document: Document) {
    formats.default(this.ajv)
    this.ajv.addSchema({ $id: 'published', ...closed(document) })
    this.operations = operationsOf(document)
    this.patterns = this.operations
      .map((published) => ({
        published,
        pattern: new RegExp(
          `^${published.path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{([^}]+)\}/g, (_, name) => segmentOf(published, name))}/?$`,
        ),
        literals: published.path.split('/').filter((segment) => !segment.startsWith('{')).length,
      }))
      .sort((a, b) => b.literals - a.literals)
  }

  find(method: string, path: string): Published | undefined {
    const wanted = method === 'HEAD' ? 'get' : method.toLowerCase()
    return this.patterns.find(({ pattern, published }) => published.method === wanted && pattern.test(path))?.published
  }

  /** What is wrong with an answer to `operation`; empty when it is as published. */
  faults({ path, method, operation }: Published, answer: Answer): string[] {
    const documented = operation.responses[answer.status]
    if (!documented) return [`${method} ${path} does not document ${answer.status}`]
    const pointer = documented.$ref?.slice(1) ?? `/paths/${escaped(path)}/${method}/responses/${answer.status}`
    const response = this.resolved(documented)
    const faults = headerFaults(response, answer)
    const types = Object.keys(response.content ?? {})
    if (types.length === 0)
      return answer.body === undefined ? faults : [...faults, 'there is a body, but none is documented']
    const type = mediaType(answer)
    // The content of a file, in a media type of its own.
    if (types.includes('*/*')) return type ? faults : [...faults, 'it has no content type']
    if (!types.includes(type)) return [...faults, `its content type is '${type}', not ${types.join(' or ')}`]
    if (!/json$/.test(type)) return faults
    return [...faults, ...this.schemaFaults(`published#${pointer}/content/${escaped(type)}/schema`, answer.body)]
  }

  /** Whether a value is valid against a schema inside the document, named by a JSON pointer. */
  schemaFaults(ref: string, value: unknown): string[] {
    const validate = this.validators.get(ref) ?? this.ajv.compile({ $ref: ref })
    this.validators.set(ref, validate)
    if (validate(value)) return []
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
    )
  }

  resolved(response: Response): Response {
    const name = response.$ref?.split('/').at(-1)
    return name === undefined ? response : (this.document.components.responses[name] ?? {})
  }

  schemaOf(schema: Schema): Schema {
    const name = schema.$ref?.split('/').at(-1)
    return name === undefined ? schema : (this.document.components.schemas[name] ?? {})
  }
}

/** What a parameter of the path may be: one segment, or all that follows. */
function segmentOf({ operation }: Published, name: string): string {
  const parameter = operation.parameters?.find((one) => one.in === 'path' && one.name === name)
  return parameter?.['x-holds-slashes'] ? '.+' : '[^/]+'
}

export function escaped(token: string): string {
  return encodeURIComponent(token.replaceAll('~', '~0').replaceAll('/', '~1'))
}

/** Headers that are sent only sometimes: when requests are limited at all, and when the cause is the login. */
const SOMETIMES = /^(x-ratelimit-.*|etag|location|retry-after)$/

function headerFaults(response: Response, { status, headers }: Answer): string[] {
  const documented = Object.keys(response.headers ?? {}).map((name) => name.toLowerCase())
  const isStream = mediaType({ headers }) === 'text/event-stream'
  const missing = documented.filter(
    (name) => headers[name] === undefined && !SOMETIMES.test(name) && !(isStream && name === 'link'),
  )
  if (status === 201 && documented.includes('location') && !headers.location) missing.push('location')
  if (status === 429 && !headers['retry-after']) missing.push('retry-after')
  const limits = Object.keys(headers).filter((name) => /^(x-ratelimit-|location$|etag$|link$|retry-after$)/.test(name))
  return [
    ...missing.map((name) => `the header ${name} is missing`),
    ...limits.filter((name) => !documented.includes(name)).map((name) => `the header ${name} is not documented`),
  ]
}

export function mediaType({ headers }: Pick<Answer, 'headers'>): string {
  return (
    String(headers['content-type'] ?? '')
      .split(';')[0]
      ?.trim() ?? ''
  )
}

/** Schemas of answers are published open, so that answers may grow; for the tests every member must be documented. */
function closed(document: Document): Document {
  const copy = structuredClone(document)
  walk(copy.components.schemas, (node) => {
    if (node.type === 'object' && node.properties && node.additionalProperties === undefined) {
      node.unevaluatedProperties = false
    }
  })
  return copy
}
