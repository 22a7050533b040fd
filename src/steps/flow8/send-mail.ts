import type { StepContext, StepType } from '../../engine/step.js'
import type { Json, JsonObject, JsonSchema } from '../../platform/json.js'
import { timeLimit } from '../conversation.js'
import { bytesOf } from '../email/attachment.js'
import {
  type Delivery,
  deliver,
  type Mail,
  type MailAttachment,
  type MailRelay,
  type MailServer,
} from '../email/deliver.js'
import { mailServerOf } from '../email/mail-server.js'
import { invalidParams } from '../invalid-params.js'
import type { Outbound } from '../ports.js'
import { STARTTLS_PARAM, TLS_PARAM } from '../tcp-target.js'
import { connectionGiven, connectionParam, noConnection } from './connection.js'

export interface SendMailPorts {
  outbound: Outbound
  /** Where mail goes that names no server. */
  mailRelay?: MailRelay
}

/** Sends one message: through a server of the account's, or through the one that the operator has set up for all. */
export function sendMail(ports: SendMailPorts): StepType {
  return {
    name: 'send-mail',
    title: 'Send mail',
    category: 'messaging',
    summary: 'Sends an e-mail.',
    stepClass: 'effect',
    params: PARAMS,
    output: OUTPUT,
    async run(params, step) {
      return { output: await send(ports, params, step) }
    },
  }
}

async function send(ports: SendMailPorts, params: JsonObject, step: StepContext): Promise<JsonObject> {
  const { sender, ...by } = await way(ports, params, step)
  const { messageId, accepted, rejected } = await deliver(by, { ...contentOf(params), ...sender }, step)
  return { messageId, accepted, rejected }
}

type Way = Delivery & { sender: Pick<Mail, 'from' | 'replyTo'> }

const KIND = { protocols: ['smtp:', 'smtps:'], defaultSecret: 'SMTP_URL' }

/** Through the operator's server nobody speaks in another's name: the sender is the operator's, and answers go to the author. */
async function way({ outbound, mailRelay }: SendMailPorts, params: JsonObject, step: StepContext): Promise<Way> {
  const timeoutMs = timeLimit(params.timeout, '60s')
  const given = await connectionGiven(params.connection, KIND, step)
  const from = textOr(params.from)
  const replyTo = textOr(params.replyTo)
  if (given) {
    const server = given instanceof URL ? mailServerOf(given) : ofObject(given)
    const sender = { from: from ?? senderOf(server), replyTo }
    return { outbound, server, timeoutMs, sender }
  }
  if (!mailRelay) throw noConnection(`connection is required unless there is a secret ${KIND.defaultSecret}`)
  return { ...mailRelay, timeoutMs, sender: { from: mailRelay.from, replyTo: replyTo ?? from } }
}

function ofObject({ host, port, secure, username, password, starttls, tls }: JsonObject): MailServer {
  return {
    host: String(host),
    port: Number(port ?? (secure === true ? 465 : 587)),
    username: textOr(username),
    password: textOr(password),
    secure,
    starttls,
    tls,
  }
}

function senderOf({ username }: MailServer): string {
  if (username?.includes('@')) return username
  throw invalidParams('from is required: the connection names no address')
}

function contentOf(params: JsonObject): Omit<Mail, 'from' | 'replyTo'> {
  const { to, cc, bcc, subject, html } = params
  const body = params.body ?? (html === undefined ? '' : undefined)
  return {
    to: list(to),
    cc: list(cc),
    bcc: list(bcc),
    subject: String(subject),
    text: textOr(body),
    html: textOr(html),
    attachments: ((params.attachments ?? []) as JsonObject[]).map(attachment),
    headers: {},
  }
}

function attachment({ filename, contentType, content, encoding }: JsonObject): MailAttachment {
  const type = textOr(contentType)
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  const how = typeof content === 'string' ? (encoding as 'base64' | 'text' | undefined) : 'text'
  return { filename: textOr(filename), contentType: type, content: bytesOf(text, type, how) }
}

function textOr(value: Json | undefined): string | undefined {
  return value === undefined || value === null ? undefined : String(value)
}

function list(value: Json | undefined): string[] {
  return value === undefined || value === '' ? [] : [value].flat().map(String)
}

/** No line ends: a header is one line. */
const ONE_LINE = { type: 'string', pattern: '^[^\\r\\n]*$', maxLength: 1_000 }

const ADDRESSES: JsonSchema = {
  type: ['string', 'array'],
  minLength: 1,
  maxLength: 1_000,
  pattern: '^[^\\r\\n]*$',
  minItems: 1,
  maxItems: 100,
  items: { ...ONE_LINE, minLength: 1 },
}

const PARAMS: JsonSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['to', 'subject'],
  properties: {
    to: {
      ...ADDRESSES,
      description: 'Recipient, or a list of them.',
      examples: ['ada@example.com', ['ada@example.com', 'Grace <grace@example.com>']],
    },
    subject: { ...ONE_LINE, description: 'Subject line.', examples: ['Your order {{ $prev.args.orderId }}'] },
    body: { type: ['string', 'number', 'boolean'], description: 'The message as plain text.', examples: ['Hello'] },
    html: { type: 'string', description: 'The message as HTML.', examples: ['<p>Hello</p>'] },
    attachments: {
      type: 'array',
      maxItems: 50,
      description: 'Files to send along.',
      items: {
        type: 'object',
        required: ['content'],
        additionalProperties: false,
        properties: {
          filename: { ...ONE_LINE, description: 'The name of the file.' },
          contentType: { ...ONE_LINE, description: 'Its media type.' },
          content: {
            type: ['string', 'object', 'array', 'number', 'boolean'],
            description: 'Text, or bytes in base64; anything else as JSON.',
          },
          encoding: { enum: ['base64', 'text'], description: 'How to read the content; guessed where absent.' },
        },
      },
      examples: [[{ filename: 'orders.csv', contentType: 'text/csv', content: 'id,total\n1,9.50' }]],
    },
    cc: { ...ADDRESSES, description: 'Recipients of a copy.', examples: ['grace@example.com'] },
    bcc: { ...ADDRESSES, description: 'Recipients of a copy whom nobody else sees.', examples: ['log@example.com'] },
    from: {
      ...ONE_LINE,
      description:
        "The sender; the user name of the connection where absent. Through the server's own mail server the sender is that server's, and this is where answers go.",
      examples: ['Shop <shop@example.com>'],
    },
    replyTo: { ...ONE_LINE, description: 'Where answers go, if not to the sender.', examples: ['help@example.com'] },
    connection: connectionParam(
      "The mail server: a URL (smtp: or smtps:), an object, or the name of a secret that holds a URL. Absent: the secret SMTP_URL, else the server's own. Addresses that are not public are refused unless the server allows them.",
      {
        host: { type: 'string', minLength: 1, description: 'Host of the mail server.' },
        port: { type: 'integer', minimum: 1, maximum: 65535, description: 'Its port, 587 unless said otherwise.' },
        username: { type: 'string', description: 'The account to log in with.' },
        password: { type: 'string', description: 'Its password.' },
        secure: { type: 'boolean', description: 'TLS from the start; true by default on port 465.' },
        starttls: STARTTLS_PARAM,
        tls: TLS_PARAM,
      },
      ['MAIL_URL', { host: 'smtp.example.com', username: 'shop@example.com', password: 'secret' }],
    ),
    timeout: {
      type: ['number', 'string'],
      format: 'go-duration',
      exclusiveMinimum: 0,
      default: 60,
      description: 'How long it may take: a number of seconds, or a duration.',
      examples: [60, '2m'],
    },
  },
}

const RECIPIENTS = { type: 'array', items: { type: 'string' } }

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['messageId', 'accepted', 'rejected'],
  properties: {
    messageId: { type: 'string', description: 'The id of the message, the same on every attempt.' },
    accepted: { ...RECIPIENTS, description: 'The recipients that the mail server took.' },
    rejected: { ...RECIPIENTS, description: 'Those that it refused. Where it takes none, the layer fails.' },
  },
}
