import type { WebSocket } from 'ws'
import type { Json, JsonObject } from '../json.js'

/** Bytes that may wait for a reader before the next message waits for it too. */
const MAX_BEHIND = 1_048_576
/** A reader that does not take in what waits for it within this time is dropped, so that it never holds memory for long. */
const PATIENCE_MS = 10_000
const PING_MS = 15_000
/** Who was silent for so many pings is given up: after 30 seconds. */
const MOST_SILENT = 2
/** Messages that are taken in before somebody asks for them; what comes then waits in the network. */
const MAX_UNREAD = 16

/** Close codes: 44xx as HTTP's 4xx. */
export const CLOSE = { done: 1000, goingAway: 1001, tooSlow: 1013, unauthorized: 4401, forbidden: 4403, notFound: 4404 }

/**
 * One WebSocket connection that the server tells things: JSON out, liveness checked, slow readers dropped. What comes in is passed over
 * unless the path was made to `listen`; then it waits to be asked for by `messages`.
 */
export class LiveSocket {
  private readonly controller = new AbortController()
  /** Pings since something was heard. */
  private silent = 0
  private readonly heartbeat: NodeJS.Timeout

  private readonly unread: string[] = []
  private heard = () => {}

  constructor(
    private readonly socket: WebSocket,
    listens = false,
  ) {
    if (listens) socket.on('message', (data) => this.hear(String(data)))
    this.heartbeat = setInterval(() => this.beat(), PING_MS)
    socket.on('pong', () => {
      this.silent = 0
    })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      clearInterval(this.heartbeat)
      this.controller.abort()
      this.heard()
    })
  }

  /** Aborts once the connection is gone, whoever ended it. */
  get gone(): AbortSignal {
    return this.controller.signal
  }

  /** Resolves when there is room for the next message: wait for it where there are many. */
  async send(message: Json): Promise<void> {
    if (this.gone.aborted) return
    const written = new Promise<void>((resolve) => this.socket.send(JSON.stringify(message), () => resolve()))
    if (this.socket.bufferedAmount <= MAX_BEHIND) return
    const late = setTimeout(() => this.drop(), PATIENCE_MS)
    await written
    clearTimeout(late)
  }

  /** What the client says, one text after another, until the connection is gone. Who takes them slowly slows the client down. */
  async *messages(): AsyncGenerator<string> {
    while (!this.gone.aborted) {
      const message = this.unread.shift()
      if (this.unread.length < MAX_UNREAD && this.socket.isPaused) this.socket.resume()
      if (message !== undefined) yield message
      else
        await new Promise<void>((resolve) => {
          this.heard = resolve
        })
    }
  }

  close(code: number, reason: string): void {
    this.socket.close(code, reason)
  }

  /** Tells why in the words of a problem document, then closes. */
  refuse(code: number, problem: JsonObject): void {
    void this.send({ type: 'error', problem })
    this.close(code, String(problem.detail ?? problem.title ?? '').slice(0, 120))
  }

  private hear(message: string): void {
    this.silent = 0
    this.unread.push(message)
    if (this.unread.length >= MAX_UNREAD) this.socket.pause()
    this.heard()
  }

  private drop(): void {
    this.controller.abort()
    this.heard()
    this.socket.close(CLOSE.tooSlow, 'reading too slowly')
    this.socket.terminate()
  }

  private beat(): void {
    // While it is not read, its pongs are not either.
    if (++this.silent >= MOST_SILENT && !this.socket.isPaused) this.socket.terminate()
    else this.socket.ping()
  }
}
