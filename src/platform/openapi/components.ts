import { SESSION_COOKIE } from '../auth/session-cookie.js'
import { DomainError, type ErrorKind } from '../errors/domain-error.js'
import { InvalidRequest, ValidationFailed } from '../http/faults.js'
import type { Dialect } from '../http/problem.js'
import { BodyTooLarge, InternalError, RateLimited, Unavailable, UnsupportedMediaType } from '../http/refusals.js'
import type { Components, Parameter, Response, Schema } from './document.js'
import type { RequestHeader } from './operations.js'
import { surfaces } from './surface.js'

/** The parts of the documents that all operations share, so that each says only its own. */

const TEXT = 10_000

const headers: Record<string, unknown> = {
  'X-Request-Id': header('Names this request in the log. The one that was sent, or a new one.', {
    type: 'string',
    maxLength: 64,
    examples: ['req_01HX3YB1V7Q8G4Z9T5W2K6M0NP'],
  }),
  'X-RateLimit-Limit': header('Requests that the caller may send per minute.', int(600)),
  'X-RateLimit-Remaining': header('How many of them are left until the reset.', int(599)),
  'X-RateLimit-Reset': header('When the count begins anew, in seconds since the epoch.', {
    ...int(1_767_225_600),
    format: 'int64',
    maximum: Number.MAX_SAFE_INTEGER,
  }),
  'Retry-After': header('Seconds after which trying again makes sense.', int(30)),
  'WWW-Authenticate': header('The kind of credentials that is asked for.', {
    type: 'string',
    maxLength: 200,
    examples: ['Bearer realm="millrace"'],
  }),
  Location: header('Where the thing made can be read.', {
    type: 'string',
    format: 'uri-reference',
    maxLength: 2048,
    examples: ['/api/v1/flows/flow-123'],
  }),
  Link: header(
    'The other pages, as RFC 8288 has it: `first`; `prev` and `next` where there are such; `last` where it is known how many there are. Relative to the URL that was asked.',
    {
      type: 'string',
      maxLength: 8192,
      examples: ['</api/v1/flows?limit=10&offset=10>; rel="next", </api/v1/flows?limit=10&offset=0>; rel="first"'],
    },
  ),
  'Set-Cookie': header('The cookie of the session, set or cleared.', {
    type: 'string',
    maxLength: 500,
    examples: ['sid=pV3…; Max-Age=3600; Path=/; HttpOnly; SameSite=Strict'],
  }),
  'Content-Disposition': header('Tells browsers to keep the file, and under which name (RFC 6266).', {
    type: 'string',
    maxLength: 2048,
    examples: ['attachment; filename="backup.tar.gz"'],
  }),
  'Content-Range': header('Which bytes these are, and of how many.', {
    type: 'string',
    maxLength: 100,
    examples: ['bytes 0-1023/12345678'],
  }),
  ETag: header('The version of the thing, for `If-Match`.', { type: 'string', maxLength: 255, examples: ['"7"'] }),
}

const parameters: Record<RequestHeader, Parameter> = {
  'Idempotency-Key': {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'Any text of 1 to 255 visible ASCII characters, new for each thing to be made. Sent again with the same body, the first answer is given and nothing is made twice; with another body the request is refused.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
    example: '6f1d4c0e-5f0a-4b0e-9a53-0c6f2f1f6a4b',
  },
  'Idempotency-Key: word': {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'A word of 20 to 128 letters, digits, dashes and underscores, new for each thing to be made. Sent again with the same body, what was made the first time is answered, with `Idempotent-Replay: true`; with another body the request is refused.',
    schema: { type: 'string', minLength: 20, maxLength: 128, pattern: '^[A-Za-z0-9_-]{20,128}$' },
    example: '6f1d4c0e-5f0a-4b0e-9a53-0c6f2f1f6a4b',
  },
  'If-Match': {
    name: 'If-Match',
    in: 'header',
    required: false,
    description:
      'Entity tags that were read; the request is refused when the thing has changed since. `*` accepts any version.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
    example: '"7"',
  },
  'If-None-Match': {
    name: 'If-None-Match',
    in: 'header',
    required: false,
    description: '`*` makes the thing only where it is not there yet; otherwise the request is refused.',
    schema: { type: 'string', enum: ['*'] },
    example: '*',
  },
  'If-None-Match: tags': {
    name: 'If-None-Match',
    in: 'header',
    required: false,
    description: 'Entity tags of what the caller has already: where one of them is its own, 304 is the answer.',
    schema: { type: 'string', minLength: 1, maxLength: 8192 },
    example: '"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
  },
  Range: {
    name: 'Range',
    in: 'header',
    required: false,
    description:
      'One range of bytes, such as `bytes=0-1023`, `bytes=1024-` or `bytes=-1024`. Several ranges, and what is no range, are answered with the whole.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
    example: 'bytes=0-1023',
  },
  'Last-Event-ID': {
    name: 'Last-Event-ID',
    in: 'header',
    required: false,
    description: 'The id of the event that was received last: the stream goes on behind it.',
    schema: { type: 'string', minLength: 1, maxLength: 64 },
    example: '1024',
  },
}

/** Parameters that share the name of another, by the key of the components. */
function keyed(): Record<string, Parameter> {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name.replace(': ', '-'), value]))
}

const securitySchemes: Record<string, unknown> = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description:
      'A token of a login, an API key, or an ID token of the configured Firebase project, signed and checked as RFC8725 asks.',
  },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: SESSION_COOKIE,
    description:
      'The cookie of a session, which lasts for an hour after its last use. What changes something must come from the server’s own pages, by `Sec-Fetch-Site` or `Origin`, or from no browser at all.',
  },
  basic: { type: 'http', scheme: 'basic', description: "The account's e-mail and password." },
}

const problemMembers: Record<string, Schema> = {
  type: {
    type: 'string',
    format: 'uri-reference',
    maxLength: 255,
    description: 'Names the kind of problem and leads to its explanation.',
  },
  title: { type: 'string', maxLength: 255, description: 'The kind of problem in words, the same each time.' },
  status: { type: 'integer', format: 'int32', minimum: 400, maximum: 599, description: 'The HTTP status.' },
  detail: { type: 'string', maxLength: TEXT, description: 'What went wrong this time.' },
  instance: { type: 'string', maxLength: 16_384, description: 'The path that was asked for, without its query.' },
  requestId: { type: 'string', maxLength: 64, description: 'Names the request in the log.' },
}

const fault: Schema = {
  type: 'object',
  description: 'One fault of a request.',
  required: ['detail', 'code'],
  additionalProperties: false,
  properties: {
    pointer: {
      type: 'string',
      maxLength: TEXT,
      description: 'A JSON pointer to the member at fault, as a URI fragment.',
    },
    parameter: {
      type: 'string',
      maxLength: TEXT,
      description: 'The parameter at fault, where it is none of the body.',
    },
    detail: { type: 'string', maxLength: TEXT, description: 'What is wrong, for people.' },
    code: { type: 'string', maxLength: 64, description: 'What is wrong, for programs.' },
    path: {
      type: 'string',
      maxLength: TEXT,
      description: 'A JSON pointer into the document that the member carries as text.',
    },
    line: { ...int(7), minimum: 1, description: 'The line in that document, from 1.' },
    column: { ...int(13), minimum: 1, description: 'The column in that line, from 1.' },
  },
}

/** An error of each kind, as examples. */
const samples: Partial<Record<ErrorKind, DomainError>> = {
  invalid: new InvalidRequest('A parameter of the query is invalid', [
    { pointer: '#', parameter: 'limit', detail: 'Limit must be at least 1', code: 'too_small' },
  ]),
  unauthenticated: new DomainError(
    'unauthenticated',
    'unauthorized',
    'Authentication is required',
    'Authentication is required or failed',
  ),
  forbidden: new DomainError('forbidden', 'forbidden', 'Not permitted', 'You do not have permission to do this'),
  not_found: new DomainError('not_found', 'flow-not-found', 'Flow not found', 'Flow with ID flow-123 not found', {
    resource: 'flow',
  }),
  conflict: new DomainError('conflict', 'conflict', 'Conflict with the present state', 'It has been done already'),
  gone: new DomainError('gone', 'gone', 'No longer kept', 'It was kept for a while and is gone'),
  precondition_failed: new DomainError(
    'precondition_failed',
    'precondition-failed',
    'The thing has changed',
    'It was changed since it was read: If-Match names another version',
  ),
  too_large: new BodyTooLarge(1_048_576),
  unsupported_media_type: new UnsupportedMediaType(['application/json']),
  range_not_satisfiable: new DomainError(
    'range_not_satisfiable',
    'range-not-satisfiable',
    'Range not satisfiable',
    'The range begins behind the 1024 bytes that there are',
  ),
  unprocessable: new ValidationFailed([{ pointer: '#/name', detail: 'Name is required', code: 'required' }]),
  key_reused: new DomainError(
    'key_reused',
    'idempotency-key-reused',
    'Idempotency key reused',
    'This Idempotency-Key was used before with another request',
  ),
  rate_limited: new RateLimited(600, 30),
  internal: new InternalError(undefined),
  not_supported: new DomainError(
    'not_supported',
    'not-supported',
    'Not offered here',
    'This service does not offer it',
  ),
  bad_gateway: new DomainError(
    'bad_gateway',
    'bad-gateway',
    'What was asked for it has failed',
    'The service that was asked for it did not answer',
  ),
  unavailable: new Unavailable(),
  insufficient_storage: new DomainError(
    'insufficient_storage',
    'storage-quota-exceeded',
    'Storage quota exceeded',
    'There is no room for 1048576 bytes: of 107374182400 bytes 107374000000 are taken',
  ),
}

const always = ['X-Request-Id', 'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset']

export function headerRefs(...more: string[]): Record<string, unknown> {
  return Object.fromEntries([...always, ...more].map((name) => [name, { $ref: `#/components/headers/${name}` }]))
}

/** `FlowRunnerNotFound`: the shared response of a surface to one kind of error. */
export function problemName({ surface }: Dialect, kind: ErrorKind): string {
  const words = kind.split('_').map((word) => word.charAt(0).toUpperCase() + word.slice(1))
  return `${surfaces[surface].schemaPrefix}${words.join('')}`
}

export function sharedComponents(dialects: readonly Dialect[]): Components {
  return {
    schemas: {
      ProblemFault: fault,
      ...Object.fromEntries(dialects.map((dialect) => [problemSchemaName(dialect), problemSchema(dialect)])),
    },
    responses: Object.fromEntries(
      dialects.flatMap((dialect) =>
        Object.entries(samples).map(([kind, sample]) => [
          problemName(dialect, kind as ErrorKind),
          problemResponse(dialect, sample),
        ]),
      ),
    ),
    headers,
    parameters: keyed(),
    securitySchemes,
  }
}

export function problemSchemaName({ surface }: Dialect): string {
  return `${surfaces[surface].schemaPrefix}Problem`
}

function problemSchema({ surface, extensions }: Dialect): Schema {
  return {
    type: 'object',
    description: `How ${surfaces[surface].title} says what went wrong: a problem document of RFC 9457${Object.keys(extensions).length > 0 ? ' with its own members added' : ''}.`,
    required: [...Object.keys(problemMembers), ...Object.keys(extensions)],
    properties: {
      ...problemMembers,
      errors: {
        type: 'array',
        maxItems: 100_000,
        description: 'Every fault that was found.',
        items: { $ref: '#/components/schemas/ProblemFault' },
      },
      ...(extensions as Record<string, Schema>),
    },
  }
}

function problemResponse(dialect: Dialect, sample: DomainError): Response {
  const status = dialect.status(sample.kind)
  const value = dialect.problem(sample, {
    status,
    instance: '/api/example',
    requestId: 'req_01HX3YB1V7Q8G4Z9T5W2K6M0NP',
  })
  return {
    description: `${value.title}.`,
    headers: headerRefs(
      ...(sample.retryAfter !== undefined ? ['Retry-After'] : []),
      ...(status === 401 ? ['WWW-Authenticate'] : []),
    ),
    content: {
      'application/problem+json': {
        schema: { $ref: `#/components/schemas/${problemSchemaName(dialect)}` },
        examples: { [sample.kind]: { summary: `${value.title}`, value } },
      },
    },
  }
}

function header(description: string, schema: Schema): unknown {
  return { description, schema }
}

function int(example: number): Schema {
  return { type: 'integer', format: 'int32', minimum: 0, maximum: 2_147_483_647, examples: [example] }
}
