import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { ImapReader, type ImapToken } from './imap-reader.fake.js'

interface StoredMessage {
  uid: number
  raw: Buffer
  flags: Set<string>
  internalDate: Date
}

interface Mailbox {
  messages: StoredMessage[]
  nextUid: number
}

export interface FakeImapOptions {
  username: string
  password: string
  certificate: { cert: string; key: string }
}

/**
 * An IMAP4rev1 server in memory, as much of RFC 3501 as a client needs to log in, fill and read mailboxes: for machines without a
 * real one. What it does not know it refuses with BAD, so a client that asks for more fails the test. `hold` makes it fall silent
 * before the next answer to a command.
 */
export class FakeImapServer {
  readonly username: string
  readonly password: string
  /** Commands in the order they came, without their arguments. */
  readonly commands: string[] = []
  hold?: string
  private readonly sockets = new Set<Socket>()
  private readonly mailboxes = new Map<string, Mailbox>([['INBOX', { messages: [], nextUid: 1 }]])
  private readonly plain = createServer((socket) => this.accept(socket, false))
  private readonly secure = createServer((socket) => this.accept(socket, true))

  private constructor(private readonly options: FakeImapOptions) {
    this.username = options.username
    this.password = options.password
  }

  static async start(options: FakeImapOptions): Promise<FakeImapServer> {
    const server = new FakeImapServer(options)
    for (const one of [server.plain, server.secure]) {
      one.listen(0, '127.0.0.1')
      await once(one, 'listening')
    }
    return server
  }

  get port(): number {
    return (this.plain.address() as AddressInfo).port
  }

  get securePort(): number {
    return (this.secure.address() as AddressInfo).port
  }

  get connections(): number {
    return this.sockets.size
  }

  readonly stop = async (): Promise<void> => {
    for (const socket of this.sockets) socket.destroy()
    for (const one of [this.plain, this.secure]) {
      one.close()
      await once(one, 'close')
    }
  }

  private accept(socket: Socket, secure: boolean): void {
    this.sockets.add(socket)
    // Answers are many short lines: none waits for the client's acknowledgement of the one before.
    socket.setNoDelay(true)
    socket.on('close', () => this.sockets.delete(socket))
    socket.on('error', () => {})
    const session = new Session(this, this.options, this.mailboxes)
    if (secure) session.encrypt(socket)
    else session.speak(socket)
    session.greet()
  }
}

/** One connection. States of RFC 3501, section 3: not authenticated, authenticated, selected. */
class Session {
  private socket!: Socket
  private user?: string
  private selected?: { mailbox: Mailbox; readOnly: boolean }

  constructor(
    private readonly server: FakeImapServer,
    private readonly options: FakeImapOptions,
    private readonly mailboxes: Map<string, Mailbox>,
  ) {}

  speak(socket: Socket): void {
    this.socket = socket
    const reader = new ImapReader(
      () => socket.write('+ go ahead\r\n'),
      (line) => this.command(line),
    )
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
  }

  encrypt(socket: Socket): void {
    socket.removeAllListeners('data')
    const secureContext = createSecureContext(this.options.certificate)
    const encrypted = new TLSSocket(socket, { isServer: true, secureContext })
    encrypted.on('error', () => socket.destroy())
    this.speak(encrypted)
  }

  greet(): void {
    this.say(`* OK [CAPABILITY ${this.capabilities()}] ready`)
  }

  private capabilities(): string {
    if (this.user) return 'IMAP4rev1 NAMESPACE'
    return this.isEncrypted() ? 'IMAP4rev1 AUTH=PLAIN' : 'IMAP4rev1 STARTTLS AUTH=PLAIN'
  }

  private isEncrypted(): boolean {
    return this.socket instanceof TLSSocket
  }

  private command(line: ImapToken[]): void {
    const [tag, first, ...rest] = line.map(String)
    let name = (first ?? '').toUpperCase()
    let args: ImapToken[] = line.slice(2)
    if (name === 'UID') {
      name = `UID ${String(rest[0]).toUpperCase()}`
      args = line.slice(3)
    }
    this.server.commands.push(name)
    if (this.server.hold === name) return
    const answer = this.answer(tag ?? '*', name, args)
    if (answer !== undefined) this.say(`${tag} ${answer}`)
    if (name === 'STARTTLS') this.encrypt(this.socket)
    if (name === 'LOGOUT') this.socket.end()
  }

  private answer(tag: string, name: string, args: ImapToken[]): string | undefined {
    switch (name) {
      case 'CAPABILITY':
        this.say(`* CAPABILITY ${this.capabilities()}`)
        return 'OK done'
      case 'NOOP':
        return 'OK done'
      case 'STARTTLS':
        return this.isEncrypted() ? 'BAD already encrypted' : 'OK begin'
      case 'LOGOUT':
        this.say('* BYE see you')
        return 'OK done'
      case 'LOGIN':
        return this.login(String(args[0]), String(args[1]))
      case 'AUTHENTICATE':
        return this.authenticate(tag, args)
      default:
        return this.user ? this.answerUser(name, args) : 'BAD log in first'
    }
  }

  private login(username: string, password: string): string {
    const { options } = this
    if (username !== options.username || password !== options.password)
      return 'NO [AUTHENTICATIONFAILED] Authentication failed.'
    this.user = username
    return `OK [CAPABILITY ${this.capabilities()}] logged in`
  }

  /** SASL PLAIN (RFC 4616); the response comes with the command only where SASL-IR is offered, which it is not. */
  private authenticate(tag: string, args: ImapToken[]): string | undefined {
    if (String(args[0]).toUpperCase() !== 'PLAIN' || args.length > 1) return 'BAD only PLAIN, and no initial response'
    this.socket.removeAllListeners('data')
    this.socket.write('+ \r\n')
    this.socket.once('data', (chunk: Buffer) => {
      const [, username = '', password = ''] = Buffer.from(chunk.toString().trim(), 'base64').toString().split('\0')
      this.speak(this.socket)
      this.say(`${tag} ${this.login(username, password)}`)
    })
    return undefined
  }

  private answerUser(name: string, args: ImapToken[]): string {
    switch (name) {
      case 'NAMESPACE':
        this.say('* NAMESPACE (("" "/")) NIL NIL')
        return 'OK done'
      case 'LIST':
      case 'LSUB':
        return this.list(name, String(args[1]))
      case 'CREATE':
        this.mailboxes.set(String(args[0]), { messages: [], nextUid: 1 })
        return 'OK done'
      case 'APPEND':
        return this.append(args)
      case 'SELECT':
      case 'EXAMINE':
        return this.select(String(args[0]), name === 'EXAMINE')
      default:
        return this.selected ? this.answerSelected(name, args, this.selected) : 'BAD unknown command'
    }
  }

  private list(command: string, pattern: string): string {
    if (pattern === '') this.say(`* ${command} (\\Noselect) "/" ""`)
    else {
      for (const name of this.mailboxes.keys()) {
        if (pattern === '*' || pattern === '%' || pattern === name)
          this.say(`* ${command} (\\HasNoChildren) "/" "${name}"`)
      }
    }
    return 'OK done'
  }

  private append(args: ImapToken[]): string {
    const mailbox = this.mailboxes.get(String(args[0]))
    if (!mailbox) return 'NO [TRYCREATE] no such mailbox'
    const raw = args.at(-1)
    if (!Buffer.isBuffer(raw)) return 'BAD a message is a literal'
    const flags = args.find(Array.isArray)
    const date = args.slice(1, -1).find((one) => typeof one === 'string')
    mailbox.messages.push({
      uid: mailbox.nextUid++,
      raw,
      flags: new Set(flags?.map(String)),
      internalDate:
        date === undefined
          ? new Date()
          : new Date(
              String(date)
                .trim()
                .replace(/^(\d+)-(\w+)-(\d+)/, '$1 $2 $3'),
            ),
    })
    return 'OK done'
  }

  private select(name: string, readOnly: boolean): string {
    const mailbox = this.mailboxes.get(name.toUpperCase() === 'INBOX' ? 'INBOX' : name)
    if (!mailbox) return 'NO [NONEXISTENT] no such mailbox'
    this.selected = { mailbox, readOnly }
    this.say('* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)')
    this.say(`* ${mailbox.messages.length} EXISTS`)
    this.say('* 0 RECENT')
    this.say('* OK [UIDVALIDITY 1] valid')
    this.say(`* OK [UIDNEXT ${mailbox.nextUid}] next`)
    return `OK [READ-${readOnly ? 'ONLY' : 'WRITE'}] selected`
  }

  private answerSelected(
    name: string,
    args: ImapToken[],
    { mailbox, readOnly }: { mailbox: Mailbox; readOnly: boolean },
  ): string {
    if (name === 'UID SEARCH') {
      const found = search(mailbox.messages, args)
      if (!found) return 'BAD unknown search key'
      this.say(`* SEARCH${found.map(({ uid }) => ` ${uid}`).join('')}`)
      return 'OK done'
    }
    const chosen = inSet(mailbox, String(args[0]))
    if (name === 'UID FETCH') {
      for (const message of chosen)
        this.fetch(message, mailbox.messages.indexOf(message) + 1, [args[1] ?? []].flat() as string[])
      return 'OK done'
    }
    if (name === 'UID STORE' && String(args[1]).toUpperCase().startsWith('+FLAGS')) {
      if (readOnly) return 'NO the mailbox is read-only'
      for (const { flags } of chosen) for (const flag of [args[2] ?? []].flat()) flags.add(String(flag))
      return 'OK done'
    }
    if (name === 'CLOSE' || name === 'UNSELECT') {
      this.selected = undefined
      return 'OK done'
    }
    return 'BAD unknown command'
  }

  private fetch(message: StoredMessage, sequence: number, items: string[]): void {
    const out: Buffer[] = [Buffer.from(`* ${sequence} FETCH (`)]
    items.forEach((item, index) => {
      out.push(Buffer.from(index > 0 ? ' ' : ''), ...fetched(message, item.toUpperCase()))
    })
    out.push(Buffer.from(')\r\n'))
    this.socket.write(Buffer.concat(out))
  }

  private say(line: string): void {
    this.socket.write(`${line}\r\n`)
  }
}

function fetched(message: StoredMessage, item: string): Buffer[] {
  const text = (value: string) => [Buffer.from(`${item} ${value}`)]
  if (item === 'UID') return text(String(message.uid))
  if (item === 'FLAGS') return text(`(${[...message.flags].join(' ')})`)
  if (item === 'RFC822.SIZE') return text(String(message.raw.length))
  if (item === 'INTERNALDATE') return text(`"${imapDate(message.internalDate)}"`)
  const body = /^BODY\.PEEK\[(HEADER|)\](?:<0\.(\d+)>)?$/.exec(item)
  if (!body) throw new Error(`this server does not know ${item}`)
  const whole = body[1] === 'HEADER' ? message.raw.subarray(0, message.raw.indexOf('\r\n\r\n') + 4) : message.raw
  const part = body[2] === undefined ? whole : whole.subarray(0, Number(body[2]))
  return [Buffer.from(`BODY[${body[1]}]${body[2] === undefined ? '' : '<0>'} {${part.length}}\r\n`), part]
}

/** `3-Feb-2024 04:05:06 +0000`. */
function imapDate(date: Date): string {
  const [, day, month, year, time] = date.toUTCString().split(' ')
  return `${day}-${month}-${year} ${time} +0000`
}

function inSet({ messages }: Mailbox, set: string): StoredMessage[] {
  const ranges = set
    .split(',')
    .map((part) => part.split(':').map((end) => (end === '*' ? Number.POSITIVE_INFINITY : Number(end))))
  return messages.filter(({ uid }) =>
    ranges.some(([from = 0, to = from]) => uid >= Math.min(from, to) && uid <= Math.max(from, to)),
  )
}

/** RFC 3501, 6.4.4: keys are joined by AND, texts match anywhere without regard to case, dates disregard the time. */
function search(messages: readonly StoredMessage[], keys: ImapToken[]): StoredMessage[] | undefined {
  const words = keys.map(String)
  let found = [...messages]
  for (let key = words.shift()?.toUpperCase(); key !== undefined; key = words.shift()?.toUpperCase()) {
    if (key === 'ALL') continue
    if (key === 'UNSEEN') found = found.filter(({ flags }) => !flags.has('\\Seen'))
    else if (key === 'FROM' || key === 'TO' || key === 'SUBJECT') {
      const header = new RegExp(`^${key}: (.*)$`, 'im')
      const wanted = (words.shift() ?? '').toLowerCase()
      found = found.filter(({ raw }) => (header.exec(raw.toString())?.[1] ?? '').toLowerCase().includes(wanted))
    } else if (key === 'SINCE' || key === 'BEFORE') {
      const day = Date.parse(`${(words.shift() ?? '').replaceAll('-', ' ')} UTC`)
      found = found.filter(({ internalDate }) => {
        const received = internalDate.getTime() - (internalDate.getTime() % 86_400_000)
        return key === 'SINCE' ? received >= day : received < day
      })
    } else return undefined
  }
  return found
}
