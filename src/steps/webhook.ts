import type { StepType } from '../engine/step.js'
import { bodyOf, exchange, HEADERS_PARAM, headersOf, TIMEOUT_PARAM, timeoutOf, URL_PARAM } from './http-exchange.js'
import type { Outbound } from './ports.js'

/** Calls a webhook. Without a body of its own it sends on what came in. */
export function webhook(outbound: Outbound): StepType {
  return {
    name: 'webhook',
    title: 'Webhook',
    category: 'http',
    summary: 'Delivers data to a webhook; without a body, the data that came in.',
    stepClass: 'effect',
    params: PARAMS,
    async run(params, step) {
      const method = String(params.method ?? 'POST').toUpperCase()
      const headers = headersOf(params.headers)
      const answer = await exchange(
        outbound,
        {
          url: String(params.url),
          method,
          headers,
          body: method === 'GET' ? undefined : bodyOf(params.body === undefined ? step.input : params.body, headers),
          timeoutMs: timeoutOf(params.timeout),
          followRedirects: true,
        },
        step,
      )
      const { status_code = null, body = null, timing_ms = null } = answer
      return { output: { status: 'sent', status_code, response: body, timing_ms } }
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['url'],
  properties: {
    url: { ...URL_PARAM, examples: ['https://webhook.example.com/callback'] },
    method: {
      type: 'string',
      enum: ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'],
      description: 'The HTTP method. GET sends no body.',
      default: 'POST',
    },
    headers: HEADERS_PARAM,
    body: {
      description: 'What to send: objects and lists as JSON, other texts as they are. Absent: the data that came in.',
      examples: [{ event: 'order.paid', order: '${input.order_id}' }],
    },
    timeout: TIMEOUT_PARAM,
  },
}
