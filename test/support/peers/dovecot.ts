import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestCertificate } from '../certificate.js'
import { closedPort } from './silent.js'

const BINARY = '/usr/sbin/dovecot'
/** Debian's unprivileged user: Dovecot reads no mail as root. */
const NOBODY = 65_534

/** Whether the Debian package `dovecot-imapd` is installed. */
export const dovecotInstalled = existsSync(BINARY)

export interface ImapPeer {
  /** Starts in the clear and offers STARTTLS. */
  port: number
  /** Speaks TLS from the start. */
  securePort: number
  username: string
  password: string
  stop(): Promise<void>
}

/** A Dovecot of one's own in a temporary folder, as root or as anyone else; its mailboxes are empty and vanish with it. */
export async function startDovecot(certificate: TestCertificate): Promise<ImapPeer> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-dovecot-'))
  const [port, securePort] = [await closedPort(), await closedPort()]
  const [username, password] = ['ada', 'correct-horse-battery']
  writeFileSync(join(dir, 'cert.pem'), certificate.cert)
  writeFileSync(join(dir, 'key.pem'), certificate.key, { mode: 0o600 })
  writeFileSync(join(dir, 'users'), `${username}:{PLAIN}${password}\n`)
  writeFileSync(join(dir, 'dovecot.conf'), configuration(dir, port, securePort))

  const child = spawn(BINARY, ['-F', '-c', join(dir, 'dovecot.conf')], { stdio: 'ignore' })
  const stop = async () => {
    if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit')
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await listening(child, port, join(dir, 'log'))
    return { port, securePort, username, password, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function configuration(dir: string, port: number, securePort: number): string {
  const { uid, gid, username } = userInfo()
  const asRoot = uid === 0
  const mail = join(dir, 'mail')
  mkdirSync(mail)
  if (asRoot) {
    // Its processes run as several users, who must all find their way in.
    chmodSync(dir, 0o711)
    chownSync(mail, NOBODY, NOBODY)
  }
  const group = execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim()
  const unprivileged = `
default_internal_user = ${username}
default_login_user = ${username}
default_internal_group = ${group}
service anvil {
  chroot =
}
service imap-login {
  chroot =
}
service stats {
  chroot =
}`
  return `
base_dir = ${join(dir, 'run')}
state_dir = ${join(dir, 'state')}
log_path = ${join(dir, 'log')}
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <${join(dir, 'cert.pem')}
ssl_key = <${join(dir, 'key.pem')}
mail_location = maildir:${mail}/%u
auth_mechanisms = plain
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = ${join(dir, 'users')}
}
userdb {
  driver = static
  args = uid=${asRoot ? NOBODY : uid} gid=${asRoot ? NOBODY : gid} home=${mail}/%u
}
service imap-login {
  inet_listener imap {
    port = ${port}
  }
  inet_listener imaps {
    port = ${securePort}
  }
}
${asRoot ? '' : unprivileged}
`
}

async function listening(child: ChildProcess, port: number, log: string): Promise<void> {
  for (const deadline = Date.now() + 15_000; Date.now() < deadline; await delay(50)) {
    if (child.exitCode !== null) break
    const socket = connect(port, '127.0.0.1')
    const greeted = await Promise.race([
      once(socket, 'data').then(() => true),
      once(socket, 'close').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (greeted) return
  }
  throw new Error(`Dovecot did not start: ${existsSync(log) ? readFileSync(log, 'utf8') : 'it left no log'}`)
}
