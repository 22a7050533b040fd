import { type StepContext, StepError } from '../engine/step.js'
import { formatDuration, parseDuration } from '../platform/duration.js'
import type { Json, JsonObject, JsonSchema } from '../platform/json.js'
import { OutboundError } from '../platform/outbound/errors.js'
import { type HttpAnswer, readAnswer } from './http-answer.js'
import { invalidParams } from './invalid-params.js'
import type { Outbound } from './ports.js'

/** One HTTP call that a step makes. */
export interface HttpCall {
  url: string
  method: string
  headers: Headers
  body?: string
  timeoutMs: number
  followRedirects: boolean
  /** Headers that hold a credential under a name of the author's. */
  secretHeaders?: readonly string[]
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])
const SECRET_PARAMETER = /key|token|secret|passw|sig|auth|credential/i

/** What came back, and how many milliseconds that took. */
export interface HttpExchange {
  answer: HttpAnswer
  timingMs: number
}

/** Makes the call and answers the step's output; a status of 400 or more is a `StepError` that carries it. */
export async function exchange(outbound: Outbound, call: HttpCall, step: StepContext): Promise<JsonObject> {
  const { url, method } = call
  const { answer, timingMs } = await send(outbound, call, step)
  const { status, contentType, contentLength, bodyEncoding } = answer
  const output: JsonObject = {
    status_code: status,
    headers: answer.headers,
    body: answer.body,
    raw_body: answer.rawBody,
    metadata: {
      content_type: contentType,
      content_length: contentLength,
      ...(bodyEncoding ? { body_encoding: bodyEncoding } : {}),
      request_url: withoutUserinfo(url).href,
      request_method: method,
      timing: formatDuration(timingMs),
      timing_ms: timingMs,
    },
    success: status >= 200 && status < 300,
    timing_ms: timingMs,
  }
  if (status < 400) return output
  step.log('warn', 'HTTP request failed', { status_code: status, url: loggable(url) })
  throw new StepError(`HTTP request failed with status ${status}`, {
    code: 'http_status',
    action: status < 500 ? 'client_error' : 'server_error',
    output,
  })
}

/**
 * Makes the call, whatever its status. Every attempt at an unsafe method sends the same `Idempotency-Key`, so that a server can tell a
 * repetition from a new request.
 */
export async function send(outbound: Outbound, call: HttpCall, step: StepContext): Promise<HttpExchange> {
  const { url, method, headers, body, timeoutMs, followRedirects, secretHeaders } = call
  if (!headers.has('user-agent')) headers.set('user-agent', 'Millrace')
  if (!headers.has('traceparent')) {
    for (const [name, value] of Object.entries(step.traceHeaders?.() ?? {})) headers.set(name, value)
  }
  if (!SAFE_METHODS.has(method) && !headers.has('idempotency-key')) headers.set('idempotency-key', step.idempotencyKey)
  const startedAt = performance.now()
  const answer = await inPlainWords(async () => {
    const redirect = followRedirects ? 'follow' : 'manual'
    const init = {
      method,
      headers,
      body,
      redirect,
      timeoutMs,
      secretHeaders,
      signal: step.signal,
      beforeSend: () => step.checkClaim(),
    } as const
    return await readAnswer(await outbound.fetch(url, init))
  })
  return { answer, timingMs: Math.round((performance.now() - startedAt) * 1000) / 1000 }
}

/** The `timeout` of a step: a duration, or a number of seconds. */
export function timeoutOf(value: Json | undefined): number {
  return typeof value === 'number' ? value * 1000 : parseDuration(String(value ?? '30s'))
}

/** Headers as an author writes them: texts, numbers and booleans, or lists of these. */
export function headersOf(value: Json | undefined): Headers {
  const headers = new Headers()
  for (const [name, given] of Object.entries((value ?? {}) as Record<string, Json>)) {
    for (const one of Array.isArray(given) ? given : [given]) {
      try {
        headers.append(name, String(one))
      } catch {
        throw unsendable(name)
      }
    }
  }
  return headers
}

/** A header that HTTP does not allow. Its value is not repeated: it may be a secret. */
export function unsendable(name: string): StepError {
  return invalidParams(`the header '${name.slice(0, 100)}' cannot be sent`)
}

/** The text that stands for a body, with its content type unless the author set one. */
export function bodyOf(value: Json | undefined, headers: Headers): string | undefined {
  if (value === undefined || value === null) return undefined
  const asJson = typeof value !== 'string' || /^\s*[{[]/.test(value)
  if (!headers.has('content-type')) {
    headers.set('content-type', asJson ? 'application/json' : 'text/plain; charset=utf-8')
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** The text that stands for the fields of a form, with its content type unless the author set one. A list repeats its field. */
export function formOf(fields: Record<string, Json>, headers: Headers): string {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      form.append(name, typeof one === 'object' ? JSON.stringify(one) : String(one))
    }
  }
  if (!headers.has('content-type')) headers.set('content-type', 'application/x-www-form-urlencoded')
  return form.toString()
}

/** Sets a header that carries a credential, unless the author wrote it out. */
export function setCredential(headers: Headers, name: string, value: string): void {
  try {
    if (!headers.has(name)) headers.set(name, value)
  } catch {
    throw unsendable(name)
  }
}

/** The value of `Authorization` for a user name and a password. */
export function basicCredential(username: Json | undefined, password: Json | undefined): string {
  return `Basic ${Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')}`
}

export const URL_PARAM: JsonSchema = {
  type: 'string',
  format: 'http-url',
  description:
    'Where to send the request: an http or https URL. Addresses that are not public are refused unless the server allows them.',
  examples: ['https://api.example.com/data', 'https://api.example.com/users/${input.user_id}'],
}

export const HEADERS_PARAM: JsonSchema = {
  type: 'object',
  description: 'Request headers by name.',
  additionalProperties: {
    type: ['string', 'number', 'boolean', 'array'],
    items: { type: ['string', 'number', 'boolean'] },
  },
  examples: [{ Authorization: 'Bearer ${secrets.API_KEY}', Accept: 'application/json' }],
}

export const TIMEOUT_PARAM: JsonSchema = {
  type: ['string', 'number'],
  format: 'go-duration',
  exclusiveMinimum: 0,
  description: 'How long the exchange may take, its body included: a duration, or a number of seconds.',
  default: '30s',
  examples: ['30s', '2m', 45],
}

async function inPlainWords<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error
    const lasting = error.code === 'outbound_refused' || error.code === 'outbound_too_large'
    throw new StepError(error.message, { code: error.code, retryable: !lasting })
  }
}

function withoutUserinfo(text: string): URL {
  const url = new URL(text)
  url.username = ''
  url.password = ''
  return url
}

/** The URL for a log: no userinfo, and no value of a query parameter that by its name is a credential. */
export function loggable(text: string): string {
  const url = withoutUserinfo(text)
  url.hash = ''
  for (const name of new Set(url.searchParams.keys())) {
    if (SECRET_PARAMETER.test(name)) url.searchParams.set(name, '***')
  }
  return url.href
}
