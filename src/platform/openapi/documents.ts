import type { INestApplication, Type } from '@nestjs/common'
import { DiscoveryService, type NestContainer } from '@nestjs/core'
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger'
import type { ErrorKind } from '../errors/domain-error.js'
import type { Dialects } from '../http/dialects.js'
import type { Dialect } from '../http/problem.js'
import { version } from '../version.js'
import { headerRefs, problemName, sharedComponents } from './components.js'
import type { Document, MediaType, Operation, Parameter, Response, Schema } from './document.js'
import { methods, operationsOf } from './document.js'
import {
  answerOf,
  headersOf,
  isPublic,
  type PathParam,
  pathParamsOf,
  problemsOf,
  type SurfaceControllerOptions,
  surfaceOf,
  tagOf,
} from './operations.js'
import { pagingOf } from './paging.js'
import { exampleOf, modern, walk } from './schemas.js'
import { resourceWord, type SurfaceName, surfaceNames, surfaces } from './surface.js'

const DESCRIPTION =
  'One backend that serves five documented APIs over one core. Every error is a problem document of RFC 9457, in the spelling of the API that was asked.'

/** A document cannot be published as it stands. Lists everything that is wrong. */
export class DocumentError extends Error {
  constructor(faults: readonly string[]) {
    super(`The OpenAPI document has faults:\n${faults.map((fault) => `- ${fault}`).join('\n')}`)
  }
}

/** A handler of a controller, found again by the operationId that the generator was made to write first. */
interface Handler {
  name: string
  handler: object
  controller: Type<unknown>
  surface: SurfaceControllerOptions
  dialect: Dialect
}

/** The master document, from the decorators alone: the application may have been made with `preview: true`. */
export function masterDocument(app: INestApplication, dialects: Dialects): Document {
  const handlers = handlersOf(app, dialects)
  const raw = SwaggerModule.createDocument(app, new DocumentBuilder().build(), {
    operationIdFactory: (controller, method) => `${controller}.${method}`,
  }) as unknown as Document
  const faults: string[] = []
  const shared = sharedComponents(dialects.all)
  const own = Object.fromEntries(
    Object.entries(raw.components.schemas ?? {}).map(([name, schema]) => [name, modern(schema)]),
  )
  for (const name of Object.keys(own)) if (name in shared.schemas) faults.push(`the schema ${name} exists already`)
  const components = { ...shared, schemas: { ...shared.schemas, ...own } }
  for (const { path, method, operation } of operationsOf(raw)) {
    const found = handlers.get(operation.operationId)
    if (!found) faults.push(`${method} ${path} belongs to no surface`)
    else
      faults.push(...complete(operation, path, found, components.schemas).map((fault) => `${method} ${path} ${fault}`))
  }
  closeRequests(raw, components.schemas)
  const ids = operationsOf(raw).map(({ operation }) => operation.operationId)
  for (const id of ids.filter((id, index) => ids.indexOf(id) !== index))
    faults.push(`the operationId ${id} is there twice`)
  if (faults.length > 0) throw new DocumentError(faults)
  const document: Document = {
    openapi: '3.1.0',
    info: info('Millrace', DESCRIPTION),
    servers: [
      {
        url: '/',
        description: 'The server that this document came from, be it local, staging or production.',
        'x-internal': false,
      },
    ],
    tags: tagsOf(handlers),
    paths: inOrder(raw.paths),
    components,
  }
  return pruned(document)
}

/** What one surface's users need, cut from the master; undefined where it has no operations yet. */
export function surfaceDocument(master: Document, surface: SurfaceName): Document | undefined {
  const paths = Object.entries(master.paths).flatMap(([path, item]) => {
    const kept = Object.entries(item).filter(([, operation]) => operation.operationId.startsWith(`${surface}_`))
    return kept.length > 0 ? [[path, Object.fromEntries(kept)] as const] : []
  })
  if (paths.length === 0) return undefined
  const { title } = surfaces[surface]
  return pruned({
    ...structuredClone(master),
    info: info(`Millrace: ${title}`, `${title}'s part of Millrace. ${DESCRIPTION}`),
    paths: Object.fromEntries(paths),
  })
}

export function surfaceDocuments(master: Document): { file: string; document: Document }[] {
  return surfaceNames.flatMap((surface) => {
    const document = surfaceDocument(master, surface)
    return document ? [{ file: surfaces[surface].document, document }] : []
  })
}

function tagsOf(handlers: ReadonlyMap<string, Handler>): Document['tags'] {
  return [...handlers.values()].flatMap(({ surface }) =>
    surface.about ? [{ name: tagOf(surface), description: surface.about }] : [],
  )
}

function handlersOf(app: INestApplication, dialects: Dialects): Map<string, Handler> {
  const handlers = new Map<string, Handler>()
  // A previewed application holds no instances, so the service that knows its controllers is made here.
  const { container } = app as unknown as { container: NestContainer }
  for (const { metatype } of new DiscoveryService(container.getModules()).getControllers()) {
    const surface = metatype && surfaceOf(metatype)
    if (!metatype || !surface) continue
    for (const name of Object.getOwnPropertyNames(metatype.prototype)) {
      const key = `${metatype.name}.${name}`
      if (handlers.has(key)) throw new DocumentError([`two controllers are called ${metatype.name}`])
      const dialect = dialects.of(surface.surface)
      handlers.set(key, {
        name,
        handler: metatype.prototype[name],
        controller: metatype as Type<unknown>,
        surface,
        dialect,
      })
    }
  }
  return handlers
}

/** Adds to an operation all that follows from its shape. Returns what is missing in it. */
function complete(operation: Operation, path: string, found: Handler, schemas: Record<string, Schema>): string[] {
  const { name, handler, controller, surface, dialect } = found
  const faults: string[] = []
  operation.operationId = `${surface.surface}_${resourceWord(surface.resource)}_${name}`
  if (!operation.summary || !operation.description) faults.push('lacks its @Summary')
  const answer = answerOf(handler)
  if (!answer) return [...faults, 'lacks its @Answers']
  faults.push(...completeParameters(operation, handler, controller))
  const success = operation.responses[answer.status] as Response
  success.headers = headerRefs(
    ...(answer.location ? ['Location'] : []),
    ...(answer.version || answer.isContent ? ['ETag'] : []),
    ...(answer.isContent ? ['Content-Disposition'] : []),
    ...(answer.cookie ? ['Set-Cookie'] : []),
    ...(pagingOf(controller, name) ? ['Link'] : []),
  )
  for (const [type, media] of Object.entries(success.content ?? {})) {
    const example = answer.examples?.[type] ?? answer.example
    faults.push(...addExample(media, schemas, 'its answer', answer.exampleName ?? 'answer', example))
  }
  const body = operation.requestBody
  for (const media of Object.values(body?.content ?? {})) {
    faults.push(...addExample(media, schemas, 'its body', 'request'))
    if (body && media.schema) body.required = requiresMembers(media.schema, schemas)
  }
  operation.responses = {
    [answer.status]: success,
    ...(answer.isContent && partsOf(success)),
    ...(answer.also && { [answer.also.status]: { ...success, description: answer.also.description } }),
    ...problems(found, path, body !== undefined),
  }
  // Generated clients that are given one text as the credential try it as each scheme in turn, and the last stays: the token's.
  operation.security = isPublic(handler, controller)
    ? []
    : dialect.accepts.toReversed().map((scheme) => ({ [scheme]: [] }))
  return faults
}

/** What a file's content is answered with besides. */
function partsOf(whole: Response): Record<string, Response> {
  return {
    206: {
      ...whole,
      description: 'The part that was asked for',
      headers: { ...whole.headers, ...headerRefs('Content-Range') },
    },
    304: { description: 'It is what `If-None-Match` names', headers: headerRefs('ETag') },
  }
}

function completeParameters(operation: Operation, handler: object, controller: object): string[] {
  const known = pathParamsOf(handler, controller)
  const faults: string[] = []
  const parameters = (operation.parameters ?? []).map((parameter): Parameter => {
    if (parameter.in !== 'path') return { ...parameter, schema: modern(parameter.schema ?? {}) }
    const said = known.find(({ name }) => name === parameter.name)
    if (!said) faults.push(`lacks a @PathParam for ${parameter.name}`)
    return {
      name: parameter.name,
      in: 'path',
      required: true,
      description: said?.description,
      schema: { type: 'string', minLength: 1, maxLength: 1024 },
      example: said?.example,
      ...(said?.holdsSlashes && { 'x-holds-slashes': true }),
    }
  })
  for (const parameter of parameters) if (!parameter.description) faults.push(`does not describe ${parameter.name}`)
  const headers = headersOf(handler).map((header) => ({ $ref: `#/components/parameters/${header.replace(': ', '-')}` }))
  operation.parameters = [...parameters, ...headers]
  if (operation.parameters.length === 0) delete operation.parameters
  return faults
}

function addExample(
  media: MediaType,
  schemas: Readonly<Record<string, Schema>>,
  what: string,
  name: string,
  given?: unknown,
): string[] {
  const value = given ?? exampleOf(media.schema ?? {}, schemas)
  if (value === undefined) return [`lacks an example of ${what}`]
  media.examples = { [name]: { summary: `An example of ${what.replace('its', 'the')}`, value } }
  return []
}

function problems({ handler, controller, dialect }: Handler, path: string, hasBody: boolean): Record<string, Response> {
  const headers = headersOf(handler)
  const open = isPublic(handler, controller)
  const kinds: ErrorKind[] = [
    'invalid',
    // Forbidden by a role, by the scope of an API key, or since a session's cookie came from another origin.
    ...(open ? [] : (['unauthenticated', 'forbidden'] as const)),
    ...(namesSomething(path, pathParamsOf(handler, controller)) ? (['not_found'] as const) : []),
    ...(hasBody ? (['too_large', 'unsupported_media_type', 'unprocessable'] as const) : []),
    ...(headers.some((header) => header.startsWith('Idempotency-Key'))
      ? (['unprocessable', 'key_reused'] as const)
      : []),
    ...(headers.includes('If-Match') || headers.includes('If-None-Match') ? (['precondition_failed'] as const) : []),
    ...(answerOf(handler)?.isContent ? (['range_not_satisfiable'] as const) : []),
    'rate_limited',
    'internal',
    'unavailable',
    ...problemsOf(handler, controller),
  ]
  const responses: Record<string, Response> = {}
  for (const kind of kinds) {
    // Two kinds of one status (flwd's 400) share the first one's response.
    responses[dialect.status(kind)] ??= { $ref: `#/components/responses/${problemName(dialect, kind)}` }
  }
  return responses
}

/** Whether a parameter of the path names a thing, which may be missing. */
function namesSomething(path: string, params: readonly PathParam[]): boolean {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1])
  return names.some((name) => !params.find((param) => param.name === name)?.anyValue)
}

function requiresMembers(schema: Schema, schemas: Readonly<Record<string, Schema>>): boolean {
  const target = schema.$ref ? schemas[schema.$ref.split('/').at(-1) ?? ''] : schema
  return (target?.required?.length ?? 0) > 0
}

/** Unknown members of a body are refused, and the schemas of bodies say so. Those of answers stay open: answers may grow. */
function closeRequests(document: Document, schemas: Record<string, Schema>): void {
  const pending = operationsOf(document).flatMap(({ operation }) => [...refsIn(operation.requestBody)])
  const seen = new Set<string>()
  for (let ref = pending.pop(); ref; ref = pending.pop()) {
    const schema = schemas[ref.split('/').at(-1) ?? '']
    if (!schema || seen.has(ref)) continue
    seen.add(ref)
    if (schema.properties) schema.additionalProperties = false
    pending.push(...refsIn(schema))
  }
}

/** Without the components and tags that nothing uses. */
function pruned(document: Document): Document {
  const used = new Set<string>()
  const pending: unknown[] = [document.paths]
  for (let part = pending.pop(); part; part = pending.pop()) {
    for (const ref of refsIn(part)) {
      if (used.has(ref)) continue
      used.add(ref)
      pending.push(resolve(document, ref))
    }
  }
  const operations = operationsOf(document).map(({ operation }) => operation)
  const schemes = new Set(operations.flatMap(({ security = [] }) => security.flatMap((one) => Object.keys(one))))
  const components = Object.entries(document.components).map(([kind, members]) => {
    const kept = Object.entries(members)
      .filter(([name]) => (kind === 'securitySchemes' ? schemes.has(name) : used.has(`#/components/${kind}/${name}`)))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return [kind, Object.fromEntries(kept)] as const
  })
  const tags = [...new Set(operations.flatMap((operation) => operation.tags))].sort()
  const described = new Map(document.tags.map(({ name, description }) => [name, description]))
  return {
    ...document,
    tags: tags.map((name) => ({ name, description: described.get(name) ?? `${name.replace(': ', "'s ")}.` })),
    components: Object.fromEntries(components.filter(([, kept]) => Object.keys(kept).length > 0)) as never,
  }
}

function refsIn(value: unknown): Set<string> {
  const refs = new Set<string>()
  walk(value, (node) => {
    if (typeof node.$ref === 'string') refs.add(node.$ref)
  })
  return refs
}

function resolve(document: Document, ref: string): unknown {
  return ref
    .slice(2)
    .split('/')
    .reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], document)
}

function inOrder(paths: Document['paths']): Document['paths'] {
  const sorted = Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(
    sorted.map(([path, item]) => [
      path,
      Object.fromEntries(methods.flatMap((method) => (item[method] ? [[method, item[method]]] : []))),
    ]),
  )
}

function info(title: string, description: string): Record<string, unknown> {
  return {
    title,
    version,
    description,
    contact: { name: 'The operator of the server' },
    license: { name: 'Proprietary', identifier: 'LicenseRef-Proprietary' },
  }
}
