import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import nodemailer from 'nodemailer'
import type { StepContext, StepType } from '../engine/step.js'
import type { JsonObject, JsonSchema } from '../platform/json.js'
import { converse, type Explanation, timeLimit, timeoutParam } from './conversation.js'
import { invalidParams } from './invalid-params.js'
import type { Outbound } from './ports.js'
import { STARTTLS_PARAM, startTls, TLS_PARAM, tcpTarget, tlsOptions } from './tcp-target.js'

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
  const host = params.smtp_host
  const port = Number(params.smtp_port ?? 587)
  const from = String(params.from ?? params.username)
  const recipients = { to: list(params.to), cc: list(params.cc), bcc: list(params.bcc) }
  const timeoutMs = timeLimit(params.timeout, '60s')
  const service = { name: `the mail server ${host}:${port}`, timeoutMs, secrets: [params.password], explain }

  const rejected = await converse(service, step, async (signal) => {
    const target = await tcpTarget(outbound, host, port)
    const secure = typeof params.secure === 'boolean' ? params.secure : port === 465
    const starttls = startTls(params.starttls, target)
    const transport = nodemailer.createTransport({
      host: target.address,
      port,
      secure,
      requireTLS: !secure && starttls === 'required',
      ignoreTLS: starttls === 'never',
      tls: tlsOptions(target, params.tls as JsonObject | undefined),
      auth: { user: params.username, pass: params.password },
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      socketCloseTimeout: 0,
      disableFileAccess: true,
      disableUrlAccess: true,
    })
    const sent = await transport.sendMail({
      signal,
      messageId: messageId(step.idempotencyKey, from),
      date: step.now(),
      from,
      ...recipients,
      subject: params.subject,
      text: params.body === undefined && params.html !== undefined ? undefined : String(params.body ?? ''),
      html: params.html === undefined ? undefined : String(params.html),
      attachments: (Array.isArray(params.attachments) ? params.attachments : []).map((one) => attachment(one as never)),
      headers: headers(params.headers as JsonObject | undefined),
    })
    return sent.rejected
  })
  if (rejected.length > 0) step.log('warn', 'The mail server refused some recipients', { rejected })
  return { status: 'sent', from, ...recipients, subject: params.subject, ...(rejected.length > 0 ? { rejected } : {}) }
}

function explain(error: Error & { code?: string; responseCode?: number; response?: string }): Explanation | undefined {
  const reply = error.response ? `: ${error.response}` : ''
  switch (error.code) {
    case 'EAUTH':
      return {
        message: `the mail server refused the username or password${reply}`,
        code: 'login_refused',
        retryable: false,
      }
    case 'EENVELOPE':
      return {
        message: `the mail server refused the sender or a recipient${reply || `: ${error.message}`}`,
        code: 'mail_refused',
      }
    case 'EMESSAGE':
      return { message: `the mail server refused the message${reply || `: ${error.message}`}`, code: 'mail_refused' }
    case 'ETLS':
      return /STARTTLS/i.test(error.message) && error.responseCode === undefined
        ? {
            message: `the mail server offers no encryption (${error.message}); starttls: offered would go without`,
            code: 'no_encryption',
          }
        : undefined
    default:
      return undefined
  }
}

/** The same on every attempt, so that mailboxes can tell a repeated message from a second one. */
function messageId(idempotencyKey: string, from: string): string {
  const domain = /@([a-z0-9.-]+)>?\s*$/i.exec(from)?.[1] ?? 'localhost'
  return `<${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 32)}@${domain}>`
}

function list(value: unknown): string[] {
  if (value === undefined || value === null || value === '') return []
  return Array.isArray(value) ? value.map(String) : [String(value)]
}

function headers(given: JsonObject = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]))
}

function attachment(one: Attachment) {
  return { filename: one.filename, contentType: one.content_type, content: decoded(one) }
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Without `encoding`, content that is well-formed base64 is taken for it. For types of text it must also decode to text, since short
 * words (`test`) are well-formed base64 by accident.
 */
function decoded({ content, encoding, content_type: type = '' }: Attachment): Buffer {
  if (encoding === 'text') return Buffer.from(content)
  const compact = content.replace(/\s+/g, '')
  const bytes = BASE64.test(compact) ? Buffer.from(compact, 'base64') : undefined
  if (encoding === 'base64') {
    if (!bytes) throw invalidParams('an attachment is not valid base64')
    return bytes
  }
  const mustBeText = /^text\/|json|xml|csv/i.test(type)
  return bytes && (!mustBeText || isText(bytes)) ? bytes : Buffer.from(content)
}

function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.some((byte) => byte < 0x09)
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
