import type { StepContext, StepType } from '../engine/step.js'
import type { JsonObject, JsonSchema } from '../platform/json.js'
import { timeLimit, timeoutParam } from './conversation.js'
import { bytesOf } from './email/attachment.js'
import { deliver, type MailAttachment } from './email/deliver.js'
import type { Outbound } from './ports.js'
import { STARTTLS_PARAM, TLS_PARAM } from './tcp-target.js'

interface Params extends JsonObject {
  smtp_host: string
  username: string
  password: string
  to: string | string[]
  subject: string
}

interface Attachment {
  filename?: string
  content_type?: string
  content: string
  encoding?: 'base64' | 'text'
}

/** Sends one message by SMTP. */
export function emailSend({ outbound }: { outbound: Outbound }): StepType {
  return {
    name: 'email.send',
    title: 'Send an e-mail',
    category: 'messaging',
    summary: 'Sends an e-mail through an SMTP server.',
    stepClass: 'effect',
    sharedAs: 'email_result',
    params: PARAMS,
    async run(params, step) {
      return { output: await send(outbound, params as Params, step) }
    },
  }
}

async function send(outbound: Outbound, params: Params, step: StepContext): Promise<JsonObject> {
  const { smtp_host: host, smtp_port: port, username, password, secure, starttls, tls } = params
  const from = String(params.from ?? username)
  const recipients = { to: list(params.to), cc: list(params.cc), bcc: list(params.bcc) }
  const server = { host, port: Number(port ?? 587), username, password, secure, starttls, tls }
  const mail = {
    from,
    ...recipients,
    subject: params.subject,
    text: params.body === undefined && params.html !== undefined ? undefined : String(params.body ?? ''),
    html: params.html === undefined ? undefined : String(params.html),
    attachments: (Array.isArray(params.attachments) ? params.attachments : []).map((one) => attachment(one as never)),
    headers: headers(params.headers as JsonObject | undefined),
  }
  const { rejected } = await deliver({ outbound, server, timeoutMs: timeLimit(params.timeout, '60s') }, mail, step)
  return { status: 'sent', from, ...recipients, subject: params.subject, ...(rejected.length > 0 ? { rejected } : {}) }
}

function list(value: unknown): string[] {
  if (value === undefined || value === null || value === '') return []
  return Array.isArray(value) ? value.map(String) : [String(value)]
}

function headers(given: JsonObject = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]))
}

function attachment({ filename, content_type: contentType, content, encoding }: Attachment): MailAttachment {
  return { filename, contentType, content: bytesOf(content, contentType, encoding) }
}

const ADDRESSES: JsonSchema = { type: ['string', 'array'], items: { type: 'string' } }

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['smtp_host', 'username', 'password', 'to', 'subject'],
  properties: {
    smtp_host: { type: 'string', minLength: 1, description: 'Host of the SMTP server.', examples: ['smtp.gmail.com'] },
    smtp_port: {
      type: 'integer',
      minimum: 1,
      maximum: 65535,
      default: 587,
      description: 'Port; 465 speaks TLS from the start.',
    },
    username: { type: 'string', description: 'Account to log in with.', examples: ['${secrets.EMAIL_USERNAME}'] },
    password: {
      type: 'string',
      writeOnly: true,
      description: 'Password of the account.',
      examples: ['${secrets.EMAIL_PASSWORD}'],
    },
    from: { type: 'string', description: 'Sender; the username where absent.', examples: ['sender@example.com'] },
    to: {
      ...ADDRESSES,
      description: 'Recipient, or a list of them.',
      examples: ['recipient@example.com', ['a@example.com', 'b@example.com']],
    },
    cc: { ...ADDRESSES, description: 'Recipients of a copy.' },
    bcc: { ...ADDRESSES, description: 'Recipients of a copy whom nobody else sees.' },
    subject: { type: 'string', description: 'Subject line.', examples: ['Hello'] },
    body: { type: 'string', description: 'The message as plain text.' },
    html: { type: 'string', description: 'The message as HTML.' },
    attachments: {
      type: 'array',
      description: 'Files to send along.',
      items: {
        type: 'object',
        required: ['content'],
        properties: {
          filename: { type: 'string' },
          content_type: { type: 'string', examples: ['application/pdf'] },
          content: { type: 'string', description: 'The bytes in base64, or text.' },
          encoding: { enum: ['base64', 'text'], description: 'How to read `content`; guessed where absent.' },
        },
        additionalProperties: false,
      },
    },
    headers: {
      type: 'object',
      description: 'Further header fields.',
      additionalProperties: { type: ['string', 'number', 'boolean'] },
      examples: [{ 'X-Priority': '1' }],
    },
    secure: { type: 'boolean', description: 'TLS from the start; true by default on port 465.' },
    starttls: STARTTLS_PARAM,
    tls: TLS_PARAM,
    timeout: timeoutParam('60s'),
  },
  additionalProperties: false,
}
