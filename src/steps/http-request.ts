import type { StepContext, StepResult, StepType } from '../engine/step.js'
import type { JsonObject } from '../platform/json.js'
import {
  basicCredential,
  bodyOf,
  exchange,
  formOf,
  HEADERS_PARAM,
  headersOf,
  loggable,
  setCredential,
  TIMEOUT_PARAM,
  timeoutOf,
  URL_PARAM,
} from './http-exchange.js'
import { invalidParams } from './invalid-params.js'
import type { Outbound } from './ports.js'

/** Makes one HTTP request and routes by its status: `success`, `client_error` or `server_error`. */
export function httpRequest(outbound: Outbound): StepType {
  return {
    name: 'http.request',
    title: 'HTTP request',
    category: 'http',
    summary: 'Sends an HTTP request and offers its response to the next node.',
    stepClass: 'effect',
    sharedAs: 'http_result',
    params: PARAMS,
    run: (params, step) => request(outbound, params, step),
  }
}

async function request(outbound: Outbound, params: JsonObject, step: StepContext): Promise<StepResult> {
  const method = String(params.method ?? 'GET').toUpperCase()
  const headers = headersOf(params.headers)
  const secretHeaders = authenticate(headers, params)
  const body =
    params.form_data === undefined ? bodyOf(params.body, headers) : formOf(params.form_data as JsonObject, headers)
  if (body !== undefined && (method === 'GET' || method === 'HEAD')) {
    throw invalidParams(`a ${method} request cannot have a body`)
  }
  const url = String(params.url)
  const output = await exchange(
    outbound,
    {
      url,
      method,
      headers,
      body,
      timeoutMs: timeoutOf(params.timeout),
      followRedirects: (params.follow_redirects ?? params.follow_redirect ?? true) === true,
      secretHeaders,
    },
    step,
  )
  step.log('info', 'HTTP request successful', { status_code: output.status_code ?? null, url: loggable(url) })
  return { output, action: output.success ? 'success' : 'default' }
}

/** Sets the credentials of `auth` and of the shortcuts; a header that the author wrote out wins. Returns the names of headers of their own. */
function authenticate(headers: Headers, params: JsonObject): string[] {
  const { auth, bearer_token, api_key, key_name, username, password } = params
  const given = { token: bearer_token, api_key, key_name, username, password, ...((auth ?? {}) as JsonObject) }
  if (given.token !== undefined) setCredential(headers, 'authorization', `Bearer ${given.token}`)
  if (given.username !== undefined) {
    setCredential(headers, 'authorization', basicCredential(given.username, given.password))
  }
  if (given.api_key === undefined) return []
  const name = String(given.key_name ?? 'X-API-Key')
  setCredential(headers, name, String(given.api_key))
  return [name]
}

const CREDENTIAL = { type: ['string', 'number'], writeOnly: true }

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['url'],
  properties: {
    url: URL_PARAM,
    method: {
      type: 'string',
      format: 'http-method',
      description:
        'The HTTP method. Methods other than GET, HEAD and OPTIONS are sent with an Idempotency-Key that is the same on every attempt.',
      default: 'GET',
      examples: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    },
    headers: HEADERS_PARAM,
    body: {
      description:
        'The request body. Objects and lists are sent as JSON, as is a text that begins with { or [; any other text is sent as text/plain.',
      examples: [{ name: '${input.name}' }, 'plain text'],
    },
    form_data: {
      type: 'object',
      description: 'Fields to send as application/x-www-form-urlencoded, instead of a body. A list repeats its field.',
      examples: [{ grant_type: 'client_credentials' }],
    },
    timeout: TIMEOUT_PARAM,
    auth: {
      type: 'object',
      description:
        'Credentials: username and password (Basic), token (Bearer), or api_key under the header key_name (X-API-Key).',
      additionalProperties: false,
      anyOf: [{ required: ['username'] }, { required: ['token'] }, { required: ['api_key'] }],
      properties: {
        username: { type: 'string', description: 'User name of HTTP Basic authentication.' },
        password: { ...CREDENTIAL, description: 'Password of HTTP Basic authentication.' },
        token: { ...CREDENTIAL, description: 'Bearer token.' },
        api_key: { ...CREDENTIAL, description: 'API key.' },
        key_name: {
          type: 'string',
          minLength: 1,
          description: 'The header that carries the API key.',
          examples: ['X-API-Key'],
        },
      },
      examples: [{ token: '${secrets.API_TOKEN}' }, { username: 'me', password: '${secrets.PASSWORD}' }],
    },
    bearer_token: { ...CREDENTIAL, description: 'Shortcut for auth.token.', examples: ['${secrets.API_TOKEN}'] },
    api_key: { ...CREDENTIAL, description: 'Shortcut for auth.api_key.', examples: ['${secrets.API_KEY}'] },
    key_name: { type: 'string', minLength: 1, description: 'Shortcut for auth.key_name.', examples: ['X-API-Key'] },
    username: { type: 'string', description: 'Shortcut for auth.username.' },
    password: { ...CREDENTIAL, description: 'Shortcut for auth.password.', examples: ['${secrets.PASSWORD}'] },
    follow_redirects: {
      type: 'boolean',
      description: 'Whether to follow redirects, ten at most. True unless said otherwise.',
      examples: [false],
    },
    follow_redirect: { type: 'boolean', description: 'Another spelling of follow_redirects.', examples: [false] },
  },
  dependentSchemas: { form_data: { properties: { body: false } } },
}
