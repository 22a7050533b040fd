import { createHash } from 'node:crypto'
import type { StepContext } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { behind, converse, type Explanation } from '../conversation.js'
import type { Outbound } from '../ports.js'
import { startTls, tcpTarget, tlsOptions } from '../tcp-target.js'

/** An SMTP server, and how to speak to it. */
export interface MailServer {
  host: string
  port: number
  username?: string
  password?: string
  /** TLS from the start; by default on port 465. */
  secure?: Json
  starttls?: Json
  tls?: Json
}

/** The mail server that the operator has set up for the mail of all accounts. */
export interface MailRelay {
  /** A way out that also leads to this server where its address is not public. */
  outbound: Outbound
  server: MailServer
  /** The sender of all that goes through it. */
  from: string
}

export interface Mail {
  from: string
  replyTo?: string
  to: string[]
  cc: string[]
  bcc: string[]
  subject: string
  text?: string
  html?: string
  attachments: MailAttachment[]
  headers: Record<string, string>
}

export interface MailAttachment {
  filename?: string
  contentType?: string
  content: Buffer
}

export interface Delivery {
  outbound: Outbound
  server: MailServer
  timeoutMs: number
}

export interface Delivered {
  messageId: string
  accepted: string[]
  /** Recipients that the server refused while it took others. */
  rejected: string[]
}

/** Hands one message to an SMTP server, under the same message id on every attempt. */
export async function deliver(
  { outbound, server, timeoutMs }: Delivery,
  mail: Mail,
  step: StepContext,
): Promise<Delivered> {
  const { host, port, username, password } = server
  const service = { name: `the mail server ${host}:${port}`, timeoutMs, secrets: [password], explain }
  const sent = await converse(service, step, async (signal) => {
    const target = await tcpTarget(outbound, host, port)
    const secure = typeof server.secure === 'boolean' ? server.secure : port === 465
    const starttls = startTls(server.starttls, target)
    const { createTransport } = await import('nodemailer')
    const transport = createTransport({
      host: target.address,
      port,
      secure,
      requireTLS: !secure && starttls === 'required',
      ignoreTLS: starttls === 'never',
      tls: tlsOptions(target, server.tls as JsonObject | undefined),
      auth: username === undefined ? undefined : { user: username, pass: password },
      connectionTimeout: behind(timeoutMs),
      greetingTimeout: behind(timeoutMs),
      socketTimeout: behind(timeoutMs),
      socketCloseTimeout: 0,
      disableFileAccess: true,
      disableUrlAccess: true,
    })
    return await transport.sendMail({
      signal,
      messageId: lastingId(step.idempotencyKey, mail.from),
      date: step.now(),
      ...mail,
    })
  })
  const { messageId, accepted, rejected } = sent
  if (rejected.length > 0) step.log('warn', 'The mail server refused some recipients', { rejected })
  return { messageId, accepted, rejected }
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
function lastingId(idempotencyKey: string, from: string): string {
  const domain = /@([a-z0-9.-]+)>?\s*$/i.exec(from)?.[1] ?? 'localhost'
  return `<${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 32)}@${domain}>`
}
