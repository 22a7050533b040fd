import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { testCertificate } from '../../test/support/certificate.js'

export interface ReceivedMail {
  from: string
  to: string[]
  raw: string
  secure: boolean
  user: string
}

export const SMTP_LOGIN = { username: 'ada', password: 'correct-horse-battery' }
export const SMTP_CERTIFICATE = testCertificate(['localhost', '127.0.0.1'])

/** A real SMTP server on a port of its own that keeps what it is given. It knows no recipient whose name is `nobody`. */
export async function startSmtpServer(options: SMTPServerOptions = {}) {
  const mails: ReceivedMail[] = []
  let open = 0
  const server = new SMTPServer({
    ...SMTP_CERTIFICATE,
    authMethods: ['PLAIN', 'LOGIN'],
    onAuth: ({ username, password }, _session, done) =>
      username === SMTP_LOGIN.username && password === SMTP_LOGIN.password
        ? done(null, { user: username })
        : done(new Error('Invalid login')),
    onRcptTo: ({ address }, _session, done) => done(address.startsWith('nobody@') ? new Error('No such user') : null),
    onConnect: (_session, done) => {
      open++
      done()
    },
    onClose: () => {
      open--
    },
    onData: (stream, session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        const from = mailFrom ? mailFrom.address : ''
        const to = rcptTo.map(({ address }) => address)
        mails.push({
          from,
          to,
          raw: Buffer.concat(chunks).toString(),
          secure: session.secure === true,
          user: String(session.user),
        })
        done()
      })
    },
    ...options,
  })
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  return {
    port: (server.server.address() as AddressInfo).port,
    mails,
    open: () => open,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}
