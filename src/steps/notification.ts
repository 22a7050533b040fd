import type { StepType } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'
import { bodyOf, exchange, HEADERS_PARAM, headersOf, TIMEOUT_PARAM, timeoutOf, URL_PARAM } from './http-exchange.js'
import type { Outbound } from './ports.js'

/** How each channel wants a message spelled. All of them take it by an incoming webhook. */
const SPELLINGS: Readonly<Record<string, (message: string, params: JsonObject) => JsonObject>> = {
  slack: (message, { title }) => ({ text: title === undefined ? message : `*${title}*\n${message}` }),
  teams: (message, { title }) => ({ text: message, ...(title === undefined ? {} : { title }) }),
  discord: (message, { title }) => ({ content: title === undefined ? message : `**${title}**\n${message}` }),
  webhook: (message, { title, data }) => ({
    message,
    ...(title === undefined ? {} : { title }),
    ...(data === undefined ? {} : { data }),
  }),
}

/** Tells people something, in the spelling of their chat system. */
export function notification(outbound: Outbound): StepType {
  return {
    name: 'notification',
    title: 'Notification',
    category: 'messaging',
    summary: 'Sends a message to Slack, Teams, Discord or any webhook.',
    stepClass: 'effect',
    params: PARAMS,
    async run(params, step) {
      const channel = String(params.channel ?? 'webhook')
      const spell = SPELLINGS[channel] as (typeof SPELLINGS)[string]
      const headers = headersOf(params.headers)
      const message = textOf(params.message ?? null)
      const { status_code = null } = await exchange(
        outbound,
        {
          url: String(params.url),
          method: 'POST',
          headers,
          body: bodyOf(spell(message, params), headers),
          timeoutMs: timeoutOf(params.timeout),
          followRedirects: true,
        },
        step,
      )
      return { output: { status: 'sent', channel, status_code } }
    },
  }
}

function textOf(message: Json): string {
  return typeof message === 'string' ? message : JSON.stringify(message)
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['url', 'message'],
  properties: {
    channel: {
      type: 'string',
      enum: Object.keys(SPELLINGS),
      description:
        'Whose spelling the message takes. slack, teams and discord are their incoming webhooks; webhook gets {message, title, data}.',
      default: 'webhook',
    },
    url: { ...URL_PARAM, description: "The channel's incoming webhook.", examples: ['${secrets.SLACK_WEBHOOK}'] },
    message: {
      description: 'What to say. Anything but a text is sent as JSON text.',
      examples: ['Order ${input.order_id} was paid'],
    },
    title: { type: 'string', description: 'A headline above the message.', examples: ['Nightly import'] },
    data: { description: 'More data for a receiver of channel webhook.', examples: [{ order: '${input.order_id}' }] },
    headers: HEADERS_PARAM,
    timeout: TIMEOUT_PARAM,
  },
}
