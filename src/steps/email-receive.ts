import type { FetchMessageObject, ImapFlow, SearchObject } from 'imapflow'
import type { Address, Email } from 'postal-mime'
import type { StepContext, StepType } from '../engine/step.js'
import { StepError } from '../engine/step.js'
import type { Json, JsonObject, JsonSchema } from '../platform/json.js'
import { behind, converse, type Explanation, timeLimit, timeoutParam } from './conversation.js'
import { invalidParams } from './invalid-params.js'
import type { Outbound } from './ports.js'
import { STARTTLS_PARAM, startTls, TLS_PARAM, tcpTarget, tlsOptions } from './tcp-target.js'

interface Params extends JsonObject {
  imap_host: string
  username: string
  password: string
}

const DAY_MS = 86_400_000
/** A larger message is read up to here, which its text parts usually come before. */
const MAX_MESSAGE_BYTES = 10 * 1024 * 1024
const MAX_TOTAL_BYTES = 64 * 1024 * 1024

/** Reads messages of a mailbox by IMAP, newest first. */
export function emailReceive({ outbound }: { outbound: Outbound }): StepType {
  return {
    name: 'email.receive',
    title: 'Receive e-mails',
    category: 'messaging',
    summary: 'Reads e-mails from an IMAP mailbox, newest first.',
    stepClass: 'effect',
    sharedAs: 'email_result',
    params: PARAMS,
    async run(params, step) {
      return { output: await receive(outbound, params as Params, step) }
    },
  }
}

async function receive(outbound: Outbound, params: Params, step: StepContext): Promise<Json[]> {
  const host = params.imap_host
  const port = Number(params.imap_port ?? 993)
  const folder = String(params.folder ?? 'INBOX')
  const period = { since: instant(params, 'since'), before: instant(params, 'before') }
  const timeoutMs = timeLimit(params.timeout, '60s')
  const service = {
    name: `the mail server ${host}:${port}`,
    timeoutMs,
    secrets: [params.password],
    explain: (error: Error) => explain(error, folder),
  }

  return await converse(service, step, async (signal) => {
    const target = await tcpTarget(outbound, host, port)
    const secure = typeof params.secure === 'boolean' ? params.secure : port === 993
    const { ImapFlow } = await import('imapflow')
    const client = new ImapFlow({
      host: target.address,
      port,
      secure,
      doSTARTTLS: secure
        ? undefined
        : { required: true, never: false, offered: undefined }[startTls(params.starttls, target)],
      ...(target.servername === undefined ? {} : { servername: target.servername }),
      tls: tlsOptions(target, params.tls as JsonObject | undefined),
      auth: { user: params.username, pass: params.password },
      clientInfo: { name: 'Millrace' },
      disableAutoIdle: true,
      logger: false,
      connectionTimeout: behind(timeoutMs),
      greetingTimeout: behind(timeoutMs),
      socketTimeout: behind(timeoutMs),
      maxLiteralSize: 2 * MAX_MESSAGE_BYTES,
      maxLineLength: MAX_MESSAGE_BYTES,
      maxResponseSize: 4 * MAX_MESSAGE_BYTES,
    })
    const stop = () => client.close()
    signal.addEventListener('abort', stop, { once: true })
    // What fails is told by the call that failed; without a listener the event would end the process.
    client.on('error', () => {})
    try {
      signal.throwIfAborted()
      await client.connect()
      await client.mailboxOpen(folder, { readOnly: params.mark_as_read !== true })
      const uids = await select(client, params, period)
      const emails = await read(client, uids, params)
      if (params.mark_as_read === true && uids.length > 0)
        await client.messageFlagsAdd(uids.join(','), ['\\Seen'], { uid: true })
      await client.logout()
      return emails
    } finally {
      signal.removeEventListener('abort', stop)
      client.close()
    }
  })
}

interface Period {
  since?: Date
  before?: Date
}

/**
 * The newest messages that match. IMAP compares calendar days in the server's own time zone, so the search asks for a day more at
 * either end and the exact instants are applied to what it finds.
 */
async function select(client: ImapFlow, params: Params, period: Period): Promise<number[]> {
  const query: SearchObject = {
    all: true,
    ...(params.unseen === true ? { seen: false } : {}),
    ...(params.from === undefined ? {} : { from: String(params.from) }),
    ...(params.to === undefined ? {} : { to: String(params.to) }),
    ...(params.subject === undefined ? {} : { subject: String(params.subject) }),
    ...(period.since ? { since: new Date(period.since.getTime() - DAY_MS) } : {}),
    ...(period.before ? { before: new Date(period.before.getTime() + 2 * DAY_MS) } : {}),
  }
  let uids = (await client.search(query, { uid: true })) || []
  if ((period.since || period.before) && uids.length > 0) {
    const dated = await client.fetchAll(uids.join(','), { uid: true, internalDate: true }, { uid: true })
    uids = dated.filter((one) => within(one, period)).map((one) => one.uid)
  }
  return uids.sort((a, b) => b - a).slice(0, Number(params.limit ?? 100))
}

function within(message: FetchMessageObject, { since, before }: Period): boolean {
  const received = new Date(message.internalDate ?? 0)
  return (!since || received >= since) && (!before || received < before)
}

async function read(client: ImapFlow, uids: readonly number[], params: Params): Promise<Json[]> {
  const { default: PostalMime } = await import('postal-mime')
  if (uids.length === 0) return []
  const wantsBody = params.with_body === true || params.body_preview !== undefined
  const emails = new Map<number, JsonObject>()
  let total = 0
  const parts = wantsBody ? { source: { maxLength: MAX_MESSAGE_BYTES } } : { headers: true }
  const query = { uid: true, flags: true, internalDate: true, size: true, ...parts }
  for await (const message of client.fetch(uids.join(','), query, { uid: true })) {
    const raw = message.source ?? message.headers ?? Buffer.alloc(0)
    total += raw.length
    if (total > MAX_TOTAL_BYTES) {
      throw new StepError(`the messages are larger than ${MAX_TOTAL_BYTES} bytes together: set a lower limit`, {
        code: 'too_large',
        retryable: false,
      })
    }
    emails.set(message.uid, { ...describe(await PostalMime.parse(raw), params), metadata: metadata(message) })
  }
  return uids.flatMap((uid) => emails.get(uid) ?? [])
}

function describe(email: Email, params: Params): JsonObject {
  const text = email.text ?? email.html ?? ''
  const preview =
    params.body_preview === undefined ? undefined : [...text].slice(0, Number(params.body_preview)).join('')
  return {
    subject: email.subject ?? '',
    from: addresses(email.from ? [email.from] : [])[0] ?? '',
    to: addresses(email.to),
    cc: addresses(email.cc),
    date: iso(email.date),
    ...(params.with_body === true
      ? { body: preview ?? text, html: email.html ?? '' }
      : preview === undefined
        ? {}
        : { body: preview }),
    headers: headers(email),
    messageId: email.messageId ?? '',
  }
}

function metadata(message: FetchMessageObject): JsonObject {
  const flags = message.flags ?? new Set<string>()
  return {
    uid: message.uid,
    flags: [...flags],
    date: iso(message.internalDate),
    sequence: message.seq,
    size: message.size ?? 0,
    answered: flags.has('\\Answered'),
    deleted: flags.has('\\Deleted'),
    draft: flags.has('\\Draft'),
    flagged: flags.has('\\Flagged'),
    recent: flags.has('\\Recent'),
    seen: flags.has('\\Seen'),
  }
}

function addresses(found: readonly Address[] = []): string[] {
  return found.flatMap((one) => (one.group ? one.group.map((member) => member.address) : [one.address ?? '']))
}

/** By name as the sender spelled it; the values of a repeated one on lines of their own. */
function headers(email: Email): JsonObject {
  const found: Record<string, string> = Object.create(null)
  for (const { originalKey, value } of email.headers) {
    found[originalKey] = found[originalKey] === undefined ? value : `${found[originalKey]}\n${value}`
  }
  return { ...found }
}

function iso(date: string | Date | undefined): Json {
  const parsed = new Date(date ?? Number.NaN)
  return Number.isNaN(parsed.getTime()) ? null : parsed.toISOString()
}

function instant(params: Params, name: 'since' | 'before'): Date | undefined {
  if (params[name] === undefined) return undefined
  const date = new Date(String(params[name]))
  if (!Number.isNaN(date.getTime())) return date
  throw invalidParams(`${name} is no RFC 3339 date-time, such as 2023-01-01T00:00:00Z`)
}

function explain(
  error: Error & {
    authenticationFailed?: boolean
    mailboxMissing?: boolean
    responseText?: string
    serverResponseCode?: string
  },
  folder: string,
): Explanation | undefined {
  // The server could not ask whoever knows the passwords (RFC 5530).
  if (error.serverResponseCode === 'UNAVAILABLE')
    return { message: 'the mail server cannot log anyone in now', code: 'mail_refused' }
  if (error.authenticationFailed) {
    return { message: 'the mail server refused the username or password', code: 'login_refused', retryable: false }
  }
  if (error.mailboxMissing)
    return { message: `there is no mail folder '${folder}'`, code: 'folder_missing', retryable: false }
  if (error.responseText) return { message: `the mail server said: ${error.responseText}`, code: 'mail_refused' }
  return undefined
}

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['imap_host', 'username', 'password'],
  properties: {
    imap_host: { type: 'string', minLength: 1, description: 'Host of the IMAP server.', examples: ['imap.gmail.com'] },
    imap_port: {
      type: 'integer',
      minimum: 1,
      maximum: 65535,
      default: 993,
      description: 'Port; 993 speaks TLS from the start.',
    },
    username: { type: 'string', description: 'Account to log in with.', examples: ['${secrets.EMAIL_USERNAME}'] },
    password: {
      type: 'string',
      writeOnly: true,
      description: 'Password of the account.',
      examples: ['${secrets.EMAIL_PASSWORD}'],
    },
    folder: { type: 'string', minLength: 1, default: 'INBOX', description: 'Mailbox to read.' },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      default: 100,
      description: 'At most so many messages, the newest.',
    },
    unseen: { type: 'boolean', default: false, description: 'Only messages not read yet.' },
    from: {
      type: 'string',
      description: 'Only messages whose sender contains this.',
      examples: ['important@example.com'],
    },
    to: { type: 'string', description: 'Only messages with a recipient that contains this.' },
    subject: { type: 'string', description: 'Only messages whose subject contains this.', examples: ['Urgent'] },
    since: {
      type: 'string',
      format: 'date-time',
      description: 'Only messages received at or after this instant (RFC 3339).',
      examples: ['2023-01-01T00:00:00Z'],
    },
    before: {
      type: 'string',
      format: 'date-time',
      description: 'Only messages received before this instant (RFC 3339).',
    },
    with_body: { type: 'boolean', default: false, description: 'Read the text and HTML as well.' },
    mark_as_read: { type: 'boolean', default: false, description: 'Mark what was read as read.' },
    body_preview: {
      type: 'integer',
      minimum: 0,
      description: 'Cut the text to so many characters; reads it even without `with_body`.',
    },
    secure: { type: 'boolean', description: 'TLS from the start; true by default on port 993.' },
    starttls: STARTTLS_PARAM,
    tls: TLS_PARAM,
    timeout: timeoutParam('60s'),
  },
  additionalProperties: false,
}
