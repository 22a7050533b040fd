import { type StepContext, StepError, type StepType } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import type { HttpAnswer } from '../http-answer.js'
import {
  basicCredential,
  bodyOf,
  formOf,
  HEADERS_PARAM,
  headersOf,
  loggable,
  send,
  setCredential,
  TIMEOUT_PARAM,
  timeoutOf,
  URL_PARAM,
} from '../http-exchange.js'
import { invalidParams } from '../invalid-params.js'
import type { Outbound } from '../ports.js'

/** Makes one HTTP request. As for curl, an answer is an answer: its status fails nothing unless the author asks for that. */
export function curl(outbound: Outbound): StepType {
  return {
    name: 'curl',
    title: 'HTTP request (curl)',
    category: 'http',
    summary: 'Sends an HTTP request and puts out the answer, whatever its status.',
    stepClass: 'effect',
    params: PARAMS,
    output: OUTPUT,
    async run(params, step) {
      return { output: await request(outbound, params, step) }
    },
  }
}

async function request(outbound: Outbound, params: JsonObject, step: StepContext): Promise<JsonObject> {
  const url = String(params.url)
  const headers = headersOf(params.headers)
  authorize(headers, params)
  const body = isJsonObject(params.bodyForm) ? formOf(params.bodyForm, headers) : bodyOf(params.body, headers)
  const method = String(params.method ?? (body === undefined ? 'GET' : 'POST')).toUpperCase()
  if (body !== undefined && (method === 'GET' || method === 'HEAD')) {
    throw invalidParams(`a ${method} request cannot have a body`)
  }
  const call = {
    url,
    method,
    headers,
    body,
    timeoutMs: timeoutOf(params.timeout),
    followRedirects: params.followRedirects !== false,
  }
  const { answer, timingMs } = await send(outbound, call, step)
  const { status: statusCode } = answer
  step.log(statusCode < 400 ? 'info' : 'warn', 'HTTP answer', { statusCode, url: loggable(url) })
  const output = {
    statusCode,
    ...bodyAs(params.responseType, answer, method),
    headers: plainHeaders(answer.headers),
    duration: timingMs,
  }
  if (params.failOnError === true && statusCode >= 400) {
    throw new StepError(`the server answered with status ${statusCode}`, { code: 'http_status', output })
  }
  return output
}

function authorize(headers: Headers, { basicAuth, bearerToken }: JsonObject): void {
  if (bearerToken !== undefined) setCredential(headers, 'authorization', `Bearer ${bearerToken}`)
  if (isJsonObject(basicAuth)) {
    setCredential(headers, 'authorization', basicCredential(basicAuth.username, basicAuth.password))
  }
}

/** Without a `responseType` the body is what it says it is: JSON, text, or bytes in base64. */
function bodyAs(type: Json | undefined, answer: HttpAnswer, method: string): { body: Json; encoding?: 'base64' } {
  const { bytes, rawBody, bodyEncoding } = answer
  if (type === 'binary') return { body: bytes.toString('base64'), encoding: 'base64' }
  // Texts hold no NUL.
  if (type === 'text') return { body: bodyEncoding ? bytes.toString().replaceAll('\0', '\uFFFD') : rawBody }
  if (type !== 'json') return { body: answer.body, ...(bodyEncoding && { encoding: bodyEncoding }) }
  if (bytes.length === 0 || method === 'HEAD') return { body: null }
  try {
    return { body: JSON.parse(rawBody) as Json }
  } catch {
    // A server that fails says so in whatever it has.
    if (answer.status >= 400) return { body: rawBody, ...(bodyEncoding && { encoding: bodyEncoding }) }
    const output = { statusCode: answer.status, body: rawBody, headers: plainHeaders(answer.headers) }
    throw new StepError('the answer is not JSON', { code: 'not_json', output })
  }
}

/** A header that is there once is a text, one that is repeated (Set-Cookie) a list. */
function plainHeaders(headers: Record<string, string[]>): JsonObject {
  return Object.fromEntries(
    Object.entries(headers).map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values]),
  )
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['url'],
  properties: {
    method: {
      type: 'string',
      format: 'http-method',
      description:
        'The HTTP method; GET, or POST where there is a body, unless said otherwise. Methods other than GET, HEAD and OPTIONS are sent with an Idempotency-Key that is the same on every attempt.',
      examples: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    },
    url: {
      ...URL_PARAM,
      examples: ['https://api.example.com/data', 'https://api.example.com/users/{{ $prev.args.userId }}'],
    },
    headers: { ...HEADERS_PARAM, examples: [{ Accept: 'application/json' }] },
    body: {
      description:
        'The request body. Objects and lists are sent as JSON, as is a text that begins with { or [; any other text is sent as text/plain.',
      examples: [{ name: '{{ $prev.args.name }}' }, 'plain text'],
    },
    bodyForm: {
      type: 'object',
      description: 'Fields to send as application/x-www-form-urlencoded, instead of a body. A list repeats its field.',
      examples: [{ grant_type: 'client_credentials' }],
    },
    timeout: {
      ...TIMEOUT_PARAM,
      description: 'How long the exchange may take, its body included: a number of seconds, or a duration.',
      default: 30,
      examples: [30, '2m'],
    },
    followRedirects: { type: 'boolean', description: 'Whether to follow redirects, ten at most.', default: true },
    responseType: {
      enum: ['json', 'text', 'binary'],
      description:
        'What to make of the body: json demands JSON of an answer below 400, text takes it as it is, binary puts it out in base64. Absent: as its content type has it.',
    },
    basicAuth: {
      type: 'object',
      additionalProperties: false,
      required: ['username'],
      description: 'Credentials of HTTP Basic authentication.',
      properties: {
        username: { type: 'string', description: 'The user name.' },
        password: { type: ['string', 'number'], writeOnly: true, description: 'The password.' },
      },
      examples: [{ username: 'me', password: 'secret' }],
    },
    bearerToken: { type: 'string', writeOnly: true, description: 'A bearer token.', examples: ['eyJhbGciOi…'] },
    failOnError: {
      type: 'boolean',
      description: 'Makes a status of 400 or more a failure of the layer, which may be retried.',
      default: false,
      examples: [true],
    },
  },
  dependentSchemas: { bodyForm: { properties: { body: false } } },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['statusCode', 'body', 'headers', 'duration'],
  properties: {
    statusCode: { type: 'integer', description: 'The status, also of 400 and more.' },
    body: { description: 'The body, as responseType has it.' },
    encoding: { const: 'base64', description: 'Set where the body is bytes, in base64.' },
    headers: {
      type: 'object',
      additionalProperties: { type: ['string', 'array'], items: { type: 'string' } },
      description: 'The headers by name, such as Content-Type; one that is repeated is a list.',
    },
    duration: { type: 'number', minimum: 0, description: 'How long it took, in milliseconds.' },
  },
}
