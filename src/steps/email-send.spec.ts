import PostalMime from 'postal-mime'
import type { SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { testCertificate } from '../../test/support/certificate.js'
import { closedPort, silentServer } from '../../test/support/peers/silent.js'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { emailSend } from './email-send.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { SMTP_CERTIFICATE, SMTP_LOGIN, startSmtpServer } from './smtp-server.fake.js'
import { FakeStepContext, failure } from './step-context.fake.js'

const PASSWORD = SMTP_LOGIN.password
const certificate = SMTP_CERTIFICATE
const step = emailSend({ outbound: loopbackOutbound })
const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function smtpServer(options: SMTPServerOptions = {}) {
  const server = await startSmtpServer(options)
  closing.push(server.stop)
  return server
}

const login = { smtp_host: 'localhost', username: 'ada', password: PASSWORD }
const mail = {
  ...login,
  from: 'sender@example.com',
  to: 'recipient@example.com',
  subject: 'Hello from a flow',
  body: 'This is a test.',
}

describe('email.send', () => {
  it('sends over STARTTLS and answers as documented', async () => {
    const server = await smtpServer()
    const output = await outputOf(step, { ...mail, smtp_port: server.port, tls: { ca: certificate.cert } })
    expect(output).toEqual({
      status: 'sent',
      from: 'sender@example.com',
      to: ['recipient@example.com'],
      cc: [],
      bcc: [],
      subject: 'Hello from a flow',
    })
    const [sent] = server.mails
    expect(sent).toMatchObject({ from: 'sender@example.com', to: ['recipient@example.com'], secure: true, user: 'ada' })
    expect(await PostalMime.parse(sent?.raw ?? '')).toMatchObject({
      from: { address: 'sender@example.com' },
      subject: 'Hello from a flow',
      text: 'This is a test.\n',
    })
  })

  it('takes every documented parameter', async () => {
    const server = await smtpServer()
    const { from: _, ...withoutFrom } = mail
    const output = await outputOf(step, {
      ...withoutFrom,
      smtp_port: server.port,
      to: ['a@example.com', 'Bea <b@example.com>'],
      cc: ['c@example.com'],
      bcc: 'hidden@example.com',
      html: '<h1>Hello</h1>',
      headers: { 'X-Priority': '1', 'X-Custom-Header': 'Custom Value' },
      attachments: [
        {
          filename: 'document.pdf',
          content_type: 'application/pdf',
          content: Buffer.from('%PDF-1.7').toString('base64'),
        },
        { filename: 'notes.txt', content_type: 'text/plain', content: 'test' },
        { filename: 'table.csv', content_type: 'text/csv', content: Buffer.from('a,b\n1,2\n').toString('base64') },
        { filename: 'literal.bin', content: 'AAAA', encoding: 'text' },
      ],
    })
    expect(output).toMatchObject({
      from: 'ada',
      to: ['a@example.com', 'Bea <b@example.com>'],
      cc: ['c@example.com'],
      bcc: ['hidden@example.com'],
    })
    const [sent] = server.mails
    expect(sent?.to).toEqual(['a@example.com', 'b@example.com', 'c@example.com', 'hidden@example.com'])
    expect(sent?.raw).not.toContain('hidden@example.com')
    const parsed = await PostalMime.parse(sent?.raw ?? '', { attachmentEncoding: 'utf8' })
    expect(parsed).toMatchObject({ text: 'This is a test.\n', html: '<h1>Hello</h1>\n' })
    expect(parsed.headers).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ key: 'x-priority', value: '1' }),
        expect.objectContaining({ key: 'x-custom-header', value: 'Custom Value' }),
      ]),
    )
    expect(parsed.attachments.map(({ filename, mimeType, content }) => [filename, mimeType, content])).toEqual([
      ['document.pdf', 'application/pdf', '%PDF-1.7'],
      ['notes.txt', 'text/plain', 'test'],
      ['table.csv', 'text/csv', 'a,b\n1,2\n'],
      ['literal.bin', 'application/octet-stream', 'AAAA'],
    ])
  })

  it('speaks TLS from the start where told, and on port 465 by itself', async () => {
    const server = await smtpServer({ secure: true })
    await outputOf(step, { ...mail, smtp_port: server.port, secure: true, tls: { ca: certificate.cert } })
    expect(server.mails[0]?.secure).toBe(true)
  })

  it('names the message by its run and node, the same on every attempt', async () => {
    const server = await smtpServer()
    for (const attempt of [1, 2]) await outputOf(step, { ...mail, smtp_port: server.port }, { attempt })
    await outputOf(step, { ...mail, smtp_port: server.port }, { run: { id: 'run_2' } })
    const [first, second, other] = server.mails.map(({ raw }) => /^Message-ID: (<.+@example\.com>)/im.exec(raw)?.[1])
    expect(first).toBeDefined()
    expect(second).toBe(first)
    expect(other).not.toBe(first)
  })

  it('keeps line breaks of a hostile subject or header out of the header', async () => {
    const server = await smtpServer()
    const hostile = 'x\r\nBcc: spy@example.com\r\n\r\nbody'
    await outputOf(step, { ...mail, smtp_port: server.port, subject: hostile, headers: { 'X-Note': hostile } })
    expect(server.mails[0]?.to).toEqual(['recipient@example.com'])
    const parsed = await PostalMime.parse(server.mails[0]?.raw ?? '')
    expect(parsed.bcc).toBeUndefined()
    expect(parsed.text).toBe('This is a test.\n')
  })

  it('says which recipients were refused, and fails when all were', async () => {
    const server = await smtpServer()
    const context = new FakeStepContext()
    const some = await step.run(
      { ...mail, smtp_port: server.port, to: ['a@example.com', 'nobody@example.com'] },
      context,
    )
    expect(some.output).toMatchObject({ status: 'sent', rejected: ['nobody@example.com'] })
    expect(context.logs).toEqual([
      { level: 'warn', message: 'The mail server refused some recipients', data: { rejected: ['nobody@example.com'] } },
    ])
    await expect(outputOf(step, { ...mail, smtp_port: server.port, to: 'nobody@example.com' })).rejects.toMatchObject({
      code: 'mail_refused',
      message: expect.stringContaining('No such user'),
    })
  })
})

describe('failure', () => {
  it('tells a wrong password without repeating it', async () => {
    const server = await smtpServer()
    const wrong = 'wrong-password-1'
    const error = await failure(outputOf(step, { ...mail, smtp_port: server.port, password: wrong }))
    expect(error).toMatchObject({ code: 'login_refused', retryable: false, cause: undefined })
    expect(error.message).toContain('refused the username or password')
    expect(JSON.stringify([error, error.message, error.stack])).not.toContain(wrong)
  })

  it('sends nothing in the clear where encryption is required', async () => {
    const plain = await smtpServer({ disabledCommands: ['STARTTLS'] })
    const away = { ...mail, smtp_port: plain.port, starttls: 'required' }
    await expect(outputOf(step, away)).rejects.toMatchObject({ name: 'StepError' })
    expect(plain.mails).toEqual([])
    await outputOf(step, { ...mail, smtp_port: plain.port })
    expect(plain.mails).toHaveLength(1)
  })

  it('trusts no certificate of another authority', async () => {
    const server = await smtpServer()
    const strict: JsonObject[] = [{ ca: testCertificate().cert }, { reject_unauthorized: true }]
    for (const tls of strict) {
      await expect(outputOf(step, { ...mail, smtp_port: server.port, tls })).rejects.toMatchObject({
        code: 'untrusted_certificate',
      })
    }
    expect(server.mails).toEqual([])
  })

  it('tells a refused connection', async () => {
    const port = await closedPort()
    await expect(outputOf(step, { ...mail, smtp_port: port })).rejects.toMatchObject({
      message: `the mail server localhost:${port} refused the connection`,
      code: 'connection_failed',
    })
  })

  it('does not reach what the guard refuses', async () => {
    const guarded = emailSend({ outbound: new GuardedOutbound() })
    await expect(outputOf(guarded, { ...mail, smtp_port: 25 })).rejects.toMatchObject({
      code: 'outbound_refused',
      retryable: false,
    })
  })

  it('gives up on a server that never greets', async () => {
    const silent = await silentServer()
    closing.push(silent.stop)
    const running = outputOf(step, { ...mail, smtp_port: silent.port, timeout: '200ms' })
    await expect(running).rejects.toMatchObject({ code: 'timeout' })
    await vi.waitFor(() => expect(silent.connections()).toBe(0))
  })

  it('closes its connection when the step is stopped', async () => {
    const held: (() => void)[] = []
    const server = await smtpServer({ onMailFrom: (_address, _session, done) => void held.push(done) })
    const stopped = new AbortController()
    const sending = outputOf(step, { ...mail, smtp_port: server.port }, { signal: stopped.signal })
    const failed = expect(sending).rejects.toMatchObject({ code: 'aborted', retryable: false })
    await vi.waitFor(() => expect(held).toHaveLength(1))
    stopped.abort()
    await failed
    await vi.waitFor(() => expect(server.open()).toBe(0))
    expect(server.mails).toEqual([])
  })
})
