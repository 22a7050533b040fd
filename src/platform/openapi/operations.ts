import { applyDecorators, Controller, HttpCode, type Type } from '@nestjs/common'
import { ApiConsumes, ApiExtraModels, ApiOperation, ApiResponse, ApiTags, getSchemaPath } from '@nestjs/swagger'
import type { ErrorKind } from '../errors/domain-error.js'
import { type SurfaceName, surfaces } from './surface.js'

/** Decorators that let a controller read as a sentence, and that are all that the published document knows of it. */

const SURFACE = Symbol('surface')
const PUBLIC = Symbol('public')
const ANSWERS = Symbol('answers')
const PROBLEMS = Symbol('problems')
const PATH_PARAMS = Symbol('path parameters')
const EVEN_AS_FORM = Symbol('even as a form')
const HEADERS = Symbol('request headers')

export interface SurfaceControllerOptions {
  surface: SurfaceName
  /** Without a leading slash, with Nest's `:id` for parameters, such as `api/v1/accounts/:id/secrets`. */
  path: string
  /** The noun in the plural as the tag shows it, such as `Flows`. */
  resource: string
  /** What the noun is, in a sentence that stands under the tag. One controller of the tag says it. */
  about?: string
}

/** A controller that speaks one documented API: its path, its tag, its operationIds and its way of spelling errors follow. */
export function SurfaceController(options: SurfaceControllerOptions): ClassDecorator {
  return applyDecorators(Controller(options.path), ApiTags(tagOf(options)), (target: object) =>
    Reflect.defineMetadata(SURFACE, options, target),
  )
}

export function tagOf({ surface, resource }: SurfaceControllerOptions): string {
  return `${surfaces[surface].title}: ${resource}`
}

export function surfaceOf(controller: object): SurfaceControllerOptions | undefined {
  return Reflect.getMetadata(SURFACE, controller)
}

/** What the operation does, in a few words and then in full. Both become the SDK's documentation. */
export function Summary(summary: string, description: string): MethodDecorator {
  return ApiOperation({ summary, description })
}

/** Needs no credentials. Without it every operation does. */
export function Public(): MethodDecorator & ClassDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor) =>
    Reflect.defineMetadata(PUBLIC, true, descriptor?.value ?? target)
}

export function isPublic(handler: object, controller: object): boolean {
  return Reflect.getMetadata(PUBLIC, handler) === true || Reflect.getMetadata(PUBLIC, controller) === true
}

export interface AnswerOptions {
  /** Default 200. It is also what the server sends. */
  status?: 200 | 201 | 202 | 204
  /** What the answer is, in a few words. */
  description: string
  /** A second success with the same body, which the handler sets itself: 200 from a POST that found the thing there already. */
  also?: { status: 200 | 201 | 202; description: string }
  /** The body, as the server would send it. Without it the fields' own examples make one up. */
  example?: unknown
  /** The body in each of its media types, where they differ. */
  examples?: Readonly<Record<string, unknown>>
  /** The answer may also be a stream of server-sent events, each with one of these as its data. */
  stream?: Type<unknown>
  /** The example's name. */
  exampleName?: string
  /** Where the thing made can be read: a path with members of the answer in braces, such as `/api/v1/flows/{id}`, or parameters of its own as `{path.name}`. Sent as `Location`. */
  location?: string
  /** The member of the answer that changes whenever the thing does, such as `updated_at`. Sent as `ETag`, for `If-Match`. */
  version?: string
  /** Sets or clears the cookie of a session. */
  cookie?: boolean
  /** Default `application/json`. */
  contentType?: string
}

export interface Answer extends AnswerOptions {
  status: 200 | 201 | 202 | 204
  /** Bytes of a file, or some of them. */
  isContent?: boolean
}

/** What a success looks like: a class, a list of one (`[FlwdRun]`), a list of words of a set, or null where there is no body. */
export function Answers(
  type: Type<unknown> | [Type<unknown>] | readonly string[] | null,
  options: AnswerOptions,
): MethodDecorator {
  const answer: Answer = { ...options, status: options.status ?? (type === null ? 204 : 200) }
  const [first] = Array.isArray(type) ? type : [type]
  const model = typeof first === 'string' ? null : (first as Type<unknown> | null)
  const items = model ? ref(model) : { type: 'string', enum: type as readonly string[] }
  const schema = Array.isArray(type) ? { type: 'array', maxItems: 10_000, items } : model && ref(model)
  return applyDecorators(
    HttpCode(answer.status),
    ...(model ? [ApiExtraModels(model)] : []),
    ...(options.stream ? [ApiExtraModels(options.stream)] : []),
    ApiResponse({
      status: answer.status,
      description: answer.description,
      ...(schema && {
        content: {
          [answer.contentType ?? 'application/json']: { schema: schema as never },
          ...(options.stream && { 'text/event-stream': { schema: ref(options.stream) } }),
        },
      }),
    }),
    mark(ANSWERS, answer),
  )
}

/** A success that is text, in whichever of these media types the caller prefers. */
export function AnswersText(
  contentTypes: readonly string[],
  options: Pick<AnswerOptions, 'description'> & ({ example: string } | { examples: Record<string, string> }),
): MethodDecorator {
  const schema = { type: 'string', maxLength: 10_000_000 }
  const content = Object.fromEntries(contentTypes.map((type) => [type, { schema }]))
  return applyDecorators(
    HttpCode(200),
    ApiResponse({ status: 200, description: options.description, content }),
    mark(ANSWERS, { ...options, status: 200 } satisfies Answer),
  )
}

/**
 * A success that is the content of a file, in whatever media type the file has: whole, in part (206) where `Range` asks for that, or not
 * again (304) where `If-None-Match` names it. The handler sends it by `sendContent`.
 */
export function AnswersContent(options: Pick<AnswerOptions, 'description'>): MethodDecorator {
  const schema = { type: 'string', format: 'binary', maxLength: 1_099_511_627_776 }
  return applyDecorators(
    HttpCode(200),
    ApiResponse({
      status: 200,
      description: options.description,
      content: { 'application/octet-stream': { schema }, '*/*': { schema } },
    }),
    mark(ANSWERS, { ...options, status: 200, example: '(bytes)', isContent: true } satisfies Answer),
    reads('Range'),
    reads('If-None-Match: tags'),
  )
}

export function answerOf(handler: object): Answer | undefined {
  return Reflect.getMetadata(ANSWERS, handler)
}

/**
 * The kinds of refusals that only this operation knows of, such as `conflict`. Those that every operation of its shape can answer
 * (401, 404 below a path parameter, 413, 415, 422 with a body, 429, 500, 503) are added without being said.
 */
export function Problems(...kinds: ErrorKind[]): MethodDecorator & ClassDecorator {
  return mark(PROBLEMS, kinds)
}

export function problemsOf(handler: object, controller: object): ErrorKind[] {
  return [...(Reflect.getMetadata(PROBLEMS, controller) ?? []), ...(Reflect.getMetadata(PROBLEMS, handler) ?? [])]
}

export interface PathParam {
  name: string
  description: string
  example: string
  /** Any value will do: it names nothing that could be missing, so it is no reason for a 404. */
  anyValue?: boolean
  /** It is the rest of a path, as `RestOfPath` reads it. */
  holdsSlashes?: boolean
}

/** A parameter of the path: what it names, and an example. On the controller it holds for every handler that has the parameter. */
export function PathParam(
  name: string,
  description: string,
  example: string,
  options: Pick<PathParam, 'anyValue' | 'holdsSlashes'> = {},
): MethodDecorator & ClassDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor) => {
    const at = descriptor?.value ?? target
    const known: PathParam[] = Reflect.getMetadata(PATH_PARAMS, at) ?? []
    Reflect.defineMetadata(PATH_PARAMS, [...known, { name, description, example, ...options }], at)
  }
}

export function pathParamsOf(handler: object, controller: object): PathParam[] {
  return [...(Reflect.getMetadata(PATH_PARAMS, handler) ?? []), ...(Reflect.getMetadata(PATH_PARAMS, controller) ?? [])]
}

/** Media types that the body may have. Without it a body is JSON. */
export function Consumes(...contentTypes: string[]): MethodDecorator {
  return ApiConsumes(...contentTypes)
}

/**
 * The body may be JSON that says to be a form, from a program that is no browser: the reference shows `curl -d`, which says so unless
 * told otherwise. It is not published, and from browsers a form is never taken: any site could send it.
 */
export function EvenAsForm(): MethodDecorator {
  return mark(EVEN_AS_FORM, true)
}

export function isEvenAsForm(handler: object): boolean {
  return Reflect.getMetadata(EVEN_AS_FORM, handler) === true
}

/** Request headers that the operation understands; the parameter decorators of `platform/http` say so. */
export type RequestHeader =
  | 'Idempotency-Key'
  | 'Idempotency-Key: word'
  | 'If-Match'
  | 'If-None-Match'
  | 'If-None-Match: tags'
  | 'Range'
  | 'Last-Event-ID'

export function readsHeader(handler: object, header: RequestHeader): void {
  Reflect.defineMetadata(HEADERS, [...headersOf(handler), header], handler)
}

export function headersOf(handler: object): RequestHeader[] {
  return Reflect.getMetadata(HEADERS, handler) ?? []
}

function reads(header: RequestHeader): MethodDecorator {
  return (_target, _key, descriptor) => readsHeader(descriptor.value as object, header)
}

function ref(model: Type<unknown>) {
  return { $ref: getSchemaPath(model) }
}

function mark(key: symbol, value: unknown): MethodDecorator & ClassDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor) =>
    Reflect.defineMetadata(key, value, descriptor?.value ?? target)
}
