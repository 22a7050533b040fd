import { ImapFlow } from 'imapflow'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { testCertificate } from '../../test/support/certificate.js'
import { dovecotInstalled, type ImapPeer, startDovecot } from '../../test/support/peers/dovecot.js'
import { closedPort, silentServer } from '../../test/support/peers/silent.js'
import type { JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { emailReceive } from './email-receive.js'
import { FakeImapServer } from './imap-server.fake.js'
import { loopbackOutbound, outputOf } from './loopback.fake.js'
import { failure } from './step-context.fake.js'

const certificate = testCertificate(['localhost', '127.0.0.1'])
const step = emailReceive({ outbound: loopbackOutbound })

const PLAIN = [
  'From: Ada <ada@example.com>',
  'To: Bob <bob@example.com>, carol@example.com',
  'Cc: dan@example.com',
  'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=',
  'Date: Mon, 01 Jan 2024 12:00:00 +0000',
  'Message-ID: <one@example.com>',
  'Received: by a',
  'Received: by b',
  '',
  'First line.',
  'Second line.',
  '',
].join('\r\n')

const RICH = [
  'From: important@example.com',
  'To: bob@example.com',
  'Subject: Urgent matter',
  'Date: Wed, 10 Jan 2024 08:30:00 +0100',
  'Message-ID: <two@example.com>',
  'MIME-Version: 1.0',
  'Content-Type: multipart/alternative; boundary=edge',
  '',
  '--edge',
  'Content-Type: text/plain; charset=utf-8',
  '',
  'plain words',
  '--edge',
  'Content-Type: text/html; charset=utf-8',
  '',
  '<p>rich words</p>',
  '--edge--',
  '',
].join('\r\n')

const startFake = (): Promise<ImapPeer> =>
  FakeImapServer.start({ username: 'ada', password: 'correct-horse-battery', certificate })

describe.each([
  { peer: 'a server in memory', start: startFake, installed: true },
  {
    peer: `Dovecot${dovecotInstalled ? '' : ' (skipped: the Debian package dovecot-imapd is not installed)'}`,
    start: () => startDovecot(certificate),
    installed: dovecotInstalled,
  },
])('email.receive from $peer', ({ start, installed }) => {
  describe.skipIf(!installed)('', () => {
    let server: ImapPeer

    beforeAll(async () => {
      server = await start()
      const client = new ImapFlow({
        host: '127.0.0.1',
        port: server.port,
        secure: false,
        tls: { rejectUnauthorized: false },
        auth: { user: server.username, pass: server.password },
        logger: false,
      })
      await client.connect()
      await client.append('INBOX', PLAIN, ['\\Seen', '\\Flagged'], new Date('2024-01-01T12:00:00Z'))
      await client.append('INBOX', RICH, [], new Date('2024-01-10T07:30:00Z'))
      await client.append(
        'INBOX',
        PLAIN.replace('<one@', '<three@').replace('ada@', 'eve@'),
        [],
        new Date('2024-01-10T22:00:00Z'),
      )
      await client.mailboxCreate('Archive')
      await client.logout()
    })

    afterAll(() => server?.stop())

    const receive = async (params: JsonObject = {}) =>
      (await outputOf(step, { ...login(), imap_port: server.port, ...params })) as JsonObject[]
    const login = () => ({ imap_host: 'localhost', username: server.username, password: server.password })
    const idsOf = async (params: JsonObject) => (await receive(params)).map(({ messageId }) => messageId)

    it('answers as documented, newest first', async () => {
      const emails = await receive({ with_body: true })
      expect(emails.map(({ messageId }) => messageId)).toEqual([
        '<three@example.com>',
        '<two@example.com>',
        '<one@example.com>',
      ])
      expect(emails[2]).toEqual({
        subject: 'Grüße',
        from: 'ada@example.com',
        to: ['bob@example.com', 'carol@example.com'],
        cc: ['dan@example.com'],
        date: '2024-01-01T12:00:00.000Z',
        body: 'First line.\nSecond line.\n',
        html: '',
        headers: expect.objectContaining({ 'Message-ID': '<one@example.com>', Received: 'by a\nby b' }),
        messageId: '<one@example.com>',
        metadata: {
          uid: 1,
          flags: expect.arrayContaining(['\\Seen', '\\Flagged']),
          date: '2024-01-01T12:00:00.000Z',
          sequence: 1,
          size: PLAIN.length,
          answered: false,
          deleted: false,
          draft: false,
          flagged: true,
          recent: expect.any(Boolean),
          seen: true,
        },
      })
      expect(emails[1]).toMatchObject({
        body: expect.stringContaining('plain words'),
        html: expect.stringContaining('<p>rich words</p>'),
      })
      expect(emails[1]?.date).toBe('2024-01-10T07:30:00.000Z')
    })

    it('reads no body unless asked, and as much of it as asked', async () => {
      const [email] = await receive({ limit: 1 })
      expect(email).toMatchObject({ subject: 'Grüße', from: 'eve@example.com' })
      expect(email).not.toHaveProperty('body')
      const [preview] = await receive({ limit: 1, body_preview: 5 })
      expect(preview).toMatchObject({ body: 'First' })
      expect(preview).not.toHaveProperty('html')
      expect((await receive({ limit: 1, body_preview: 5, with_body: true }))[0]).toMatchObject({
        body: 'First',
        html: '',
      })
    })

    it('filters by sender, recipient, subject, state and number', async () => {
      expect(await idsOf({ from: 'important@example.com' })).toEqual(['<two@example.com>'])
      expect(await idsOf({ to: 'carol@' })).toEqual(['<three@example.com>', '<one@example.com>'])
      expect(await idsOf({ subject: 'urgent' })).toEqual(['<two@example.com>'])
      expect(await idsOf({ unseen: true })).toEqual(['<three@example.com>', '<two@example.com>'])
      expect(await idsOf({ limit: 2 })).toEqual(['<three@example.com>', '<two@example.com>'])
      expect(await idsOf({ subject: 'x" OR ALL "' })).toEqual([])
    })

    it('filters by instants, not by days', async () => {
      expect(await idsOf({ since: '2024-01-10T07:30:00Z' })).toEqual(['<three@example.com>', '<two@example.com>'])
      expect(await idsOf({ since: '2024-01-10T08:00:00Z' })).toEqual(['<three@example.com>'])
      expect(await idsOf({ since: '2024-01-10T23:30:00+02:00' })).toEqual(['<three@example.com>'])
      expect(await idsOf({ before: '2024-01-10T07:30:00Z' })).toEqual(['<one@example.com>'])
      expect(await idsOf({ since: '2024-01-02T00:00:00Z', before: '2024-01-10T22:00:00Z' })).toEqual([
        '<two@example.com>',
      ])
      expect((await failure(receive({ since: 'yesterday' }))).code).toBe('invalid_params')
    })

    it('marks as read only when asked', async () => {
      await receive({ with_body: true, unseen: true })
      expect(await idsOf({ unseen: true, from: 'important' })).toEqual(['<two@example.com>'])
      expect(await receive({ with_body: true, unseen: true, from: 'important', mark_as_read: true })).toMatchObject([
        { metadata: { seen: false } },
      ])
      expect(await idsOf({ unseen: true, from: 'important' })).toEqual([])
      expect(await receive({ from: 'important' })).toMatchObject([{ metadata: { seen: true } }])
    })

    it('reads another folder, and says when there is none', async () => {
      expect(await receive({ folder: 'Archive' })).toEqual([])
      expect(await failure(receive({ folder: 'No "such" folder' }))).toMatchObject({
        message: `there is no mail folder 'No "such" folder'`,
        retryable: false,
      })
    })

    it('speaks TLS from the start or by STARTTLS, and trusts only what it should', async () => {
      const tls = { ca: certificate.cert }
      expect(await receive({ imap_port: server.securePort, secure: true, tls, limit: 1 })).toHaveLength(1)
      expect(await receive({ starttls: 'required', tls, limit: 1 })).toHaveLength(1)
      const ways: JsonObject[] = [{ imap_port: server.securePort, secure: true }, { starttls: 'required' }]
      for (const way of ways) {
        expect(await failure(receive({ ...way, tls: { ca: testCertificate().cert } }))).toMatchObject({
          code: 'untrusted_certificate',
        })
      }
    })

    it('tells a wrong password without repeating it', async () => {
      const error = await failure(receive({ password: 'wrong-password-1' }))
      expect(error).toMatchObject({
        message: 'the mail server refused the username or password',
        code: 'login_refused',
        retryable: false,
      })
      expect(JSON.stringify([error, error.stack])).not.toContain('wrong-password-1')
    })
  })
})

describe('failure', () => {
  const login = { imap_host: '127.0.0.1', username: 'ada', password: 'correct-horse-battery' }

  it('tells a refused connection', async () => {
    const port = await closedPort()
    expect(await failure(outputOf(step, { ...login, imap_port: port }))).toMatchObject({
      message: `the mail server 127.0.0.1:${port} refused the connection`,
      code: 'connection_failed',
    })
  })

  it('does not reach what the guard refuses', async () => {
    const guarded = emailReceive({ outbound: new GuardedOutbound() })
    expect(await failure(outputOf(guarded, login))).toMatchObject({ code: 'outbound_refused', retryable: false })
  })

  it('gives up on a server that never greets', async () => {
    const silent = await silentServer()
    try {
      expect(await failure(outputOf(step, { ...login, imap_port: silent.port, timeout: '200ms' }))).toMatchObject({
        code: 'timeout',
      })
      await vi.waitFor(() => expect(silent.connections()).toBe(0))
    } finally {
      await silent.stop()
    }
  })

  it('closes its connection when the step is stopped', async () => {
    const server = await FakeImapServer.start({ username: 'ada', password: 'correct-horse-battery', certificate })
    try {
      server.hold = 'UID SEARCH'
      const stopped = new AbortController()
      const failed = failure(outputOf(step, { ...login, imap_port: server.port }, { signal: stopped.signal }))
      await vi.waitFor(() => expect(server.commands).toContain('UID SEARCH'))
      stopped.abort()
      expect(await failed).toMatchObject({ code: 'aborted', retryable: false })
      await vi.waitFor(() => expect(server.connections).toBe(0))
    } finally {
      await server.stop()
    }
  })
})
