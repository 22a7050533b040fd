import PostalMime from 'postal-mime'
import type { SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../platform/json.js'
import { GuardedOutbound } from '../../platform/outbound/guarded-outbound.js'
import { loopbackOutbound } from '../loopback.fake.js'
import { SMTP_LOGIN, startSmtpServer } from '../smtp-server.fake.js'
import { FakeStepContext, type FakeStepOptions, failure } from '../step-context.fake.js'
import { outputAsDescribed } from './described.fake.js'
import { type SendMailPorts, sendMail } from './send-mail.js'

const { username, password } = SMTP_LOGIN
const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function smtpServer(options: SMTPServerOptions = {}) {
  const server = await startSmtpServer(options)
  closing.push(server.stop)
  const url = `smtp://${username}:${password}@localhost:${server.port}`
  return { ...server, url, connection: { host: 'localhost', port: server.port, username, password } }
}

const mail = { to: 'ada@example.com', subject: 'Hello', from: 'shop@example.com' }

const send = (params: JsonObject, options: FakeStepOptions = {}, ports: Partial<SendMailPorts> = {}) =>
  outputAsDescribed(
    sendMail({ outbound: loopbackOutbound, ...ports }),
    { ...mail, ...params },
    new FakeStepContext(options),
  )

const read = (raw = '') => PostalMime.parse(raw, { attachmentEncoding: 'utf8' })

describe('send-mail', () => {
  it('sends what it is told to, and puts out the id of the message', async () => {
    const { connection, mails } = await smtpServer()
    const output = await send({
      connection,
      to: ['ada@example.com', 'Grace <grace@example.com>'],
      cc: 'c@example.com',
      bcc: ['hidden@example.com'],
      replyTo: 'help@example.com',
      body: 'Hi',
      html: '<p>Hi</p>',
      attachments: [
        { filename: 'a.csv', contentType: 'text/csv', content: 'a,b' },
        { filename: 'b.bin', content: 'QUJD', encoding: 'base64' },
        { filename: 'c.json', contentType: 'application/json', content: { n: 1 } },
      ],
    })
    expect(output).toEqual({
      messageId: expect.stringMatching(/^<[0-9a-f]{32}@example\.com>$/),
      accepted: ['ada@example.com', 'grace@example.com', 'c@example.com', 'hidden@example.com'],
      rejected: [],
    })
    expect(mails[0]?.raw).not.toContain('hidden@example.com')
    const parsed = await read(mails[0]?.raw)
    expect(parsed).toMatchObject({
      messageId: (output as JsonObject).messageId,
      from: { address: 'shop@example.com' },
      replyTo: [{ address: 'help@example.com' }],
      subject: 'Hello',
      text: 'Hi\n',
      html: '<p>Hi</p>\n',
    })
    expect(parsed.attachments.map(({ filename, content }) => [filename, content])).toEqual([
      ['a.csv', 'a,b'],
      ['b.bin', 'ABC'],
      ['c.json', '{"n":1}'],
    ])
  })

  it('has the same message id on every attempt', async () => {
    const { connection } = await smtpServer()
    expect(await send({ connection }, { attempt: 2 })).toEqual(await send({ connection }))
  })

  it('finds its server in a URL, in the secret that is named, or in SMTP_URL', async () => {
    const { url, mails } = await smtpServer()
    await send({ connection: url })
    await send({ connection: 'MAIL' }, { namedSecrets: { MAIL: url } })
    await send({}, { namedSecrets: { SMTP_URL: url } })
    expect(mails.map(({ user }) => user)).toEqual(['ada', 'ada', 'ada'])
  })

  it('is sent by whoever logs in, where no sender is said', async () => {
    const { connection } = await smtpServer()
    const { from: _, ...anonymous } = mail
    const type = sendMail({ outbound: loopbackOutbound })
    expect(await failure(outputAsDescribed(type, { ...anonymous, connection }))).toMatchObject({
      message: 'from is required: the connection names no address',
    })
    const open = await smtpServer({ onAuth: (_auth, _session, done) => done(null, { user: 'any' }) })
    await outputAsDescribed(type, { ...anonymous, connection: { ...open.connection, username: 'me@example.com' } })
    expect(open.mails[0]?.from).toBe('me@example.com')
  })

  it('says who was refused, and fails where nobody was taken', async () => {
    const { connection } = await smtpServer()
    expect(await send({ connection, to: ['ada@example.com', 'nobody@example.com'] })).toMatchObject({
      accepted: ['ada@example.com'],
      rejected: ['nobody@example.com'],
    })
    expect(await failure(send({ connection, to: 'nobody@example.com' }))).toMatchObject({ code: 'mail_refused' })
  })
})

describe("the operator's mail server", () => {
  const relayOf = (port: number) => ({
    outbound: new GuardedOutbound({ allow: `localhost:${port}` }),
    server: { host: 'localhost', port, ...SMTP_LOGIN },
    from: 'Millrace <noreply@example.org>',
  })

  it('sends what names no server, in its own name', async () => {
    const { port, mails } = await smtpServer()
    const outbound = new GuardedOutbound()
    await send({}, {}, { outbound, mailRelay: relayOf(port) })
    await send({ replyTo: 'help@example.com' }, {}, { outbound, mailRelay: relayOf(port) })
    expect(mails.map(({ from }) => from)).toEqual(['noreply@example.org', 'noreply@example.org'])
    expect(await read(mails[0]?.raw)).toMatchObject({
      from: { address: 'noreply@example.org' },
      replyTo: [{ address: 'shop@example.com' }],
    })
    expect(await read(mails[1]?.raw)).toMatchObject({ replyTo: [{ address: 'help@example.com' }] })
  })

  it('is no way for a connection of the account to what is private', async () => {
    const { port, url, mails } = await smtpServer()
    const ports = { outbound: new GuardedOutbound(), mailRelay: relayOf(port) }
    expect(await failure(send({ connection: url }, {}, ports))).toMatchObject({ code: 'outbound_refused' })
    expect(mails).toEqual([])
  })

  it('may be missing', async () => {
    expect(await failure(send({}))).toMatchObject({
      message: 'connection is required unless there is a secret SMTP_URL',
      code: 'no_connection',
    })
  })
})

describe('made to hurt', () => {
  it.each<JsonObject>([
    { subject: 'x\r\nBcc: spy@example.com' },
    { subject: 'x\nBcc: spy@example.com' },
    { to: 'a@example.com\r\nBcc: spy@example.com' },
    { to: ['a@example.com', 'b@example.com\nBcc: spy@example.com'] },
    { from: 'a@example.com\r\nSubject: other' },
    { replyTo: 'a@example.com\r\nSubject: other' },
    { attachments: [{ filename: 'a"\r\nContent-Type: text/html', content: 'x' }] },
    { attachments: [{ filename: 'a', contentType: 'text/plain\r\nX-A: b', content: 'x' }] },
    { attachments: [{ path: '/etc/passwd', content: 'x' }] },
    { attachments: [{ href: 'http://169.254.169.254/', content: 'x' }] },
    { attachments: [{ content: '!', encoding: 'base64' }] },
    { to: [] },
    { to: Array.from({ length: 101 }, (_, at) => `a${at}@example.com`) },
    { headers: { From: 'x@example.com' } },
    { connection: { host: 'localhost', pool: true } },
  ])('%j is refused', async (params) => {
    const { connection, mails } = await smtpServer()
    expect(await failure(send({ connection, ...params }))).toMatchObject({ code: 'invalid_params', retryable: false })
    expect(mails).toEqual([])
  })

  it('a body of SMTP commands is a body', async () => {
    const { connection, mails } = await smtpServer()
    await send({ connection, body: 'Hi\r\n.\r\nMAIL FROM:<spy@example.com>\r\n' })
    expect(mails).toHaveLength(1)
    expect((await read(mails[0]?.raw)).text).toContain('MAIL FROM')
  })

  it.each(['smtp://127.0.0.1:25', 'smtp://[::1]', 'smtps://10.0.0.1', 'smtp://169.254.169.254'])(
    '%s is out of reach',
    async (connection) => {
      const outbound = new GuardedOutbound()
      expect(await failure(send({ connection }, {}, { outbound }))).toMatchObject({
        code: 'outbound_refused',
        retryable: false,
      })
    },
  )

  it.each(['http://me:hunter2@mail', 'smtp://', 'smtp://me:%zzhunter2@mail', 'smtp://me:hunter2@mail?starttls=no'])(
    'refuses %s without repeating it',
    async (connection) => {
      const error = await failure(send({ connection }))
      expect(error.code).toBe('invalid_params')
      expect(error.message).not.toContain('hunter2')
    },
  )

  it('tells no password', async () => {
    const { connection } = await smtpServer()
    const error = await failure(send({ connection: { ...connection, password: 'wrong-password-1' } }))
    expect(error).toMatchObject({ code: 'login_refused', retryable: false })
    expect(JSON.stringify([error, error.message, error.stack])).not.toContain('wrong-password-1')
  })
})
