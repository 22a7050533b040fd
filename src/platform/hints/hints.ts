import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { payloadsOf, readPayload } from './payload.js'

/** A way from process to process. Everything that is sent by one is heard by all, the sender included, or lost. */
export interface HintRoute {
  /** Shown in messages. */
  readonly name: string
  /** True while it is worth trying. */
  readonly isOpen: boolean
  /** Between two sendings; what is said meanwhile travels together. */
  readonly everyMs: number
  open(heard: (payload: string) => void, onError: (error: unknown) => void): Promise<void>
  /** Rejects when it cannot be sent. */
  send(payloads: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** Ids that wait to be sent; what is said beyond is lost, as hints may be. */
const MOST_PENDING = 20_000

/**
 * Small messages between the processes of one installation: a kind, and the id of what it is about, never the thing itself. They may be
 * lost, repeated and late; whoever waits for one looks by itself too, only less often. A process does not hear its own.
 *
 * The first route that is open is taken; all are listened to, so that processes hear each other while one of them has lost its Redis.
 */
export class Hints {
  private readonly self = randomUUID()
  private readonly listeners = new Map<string, Set<(id: string) => void>>()
  private pending = new Map<string, Set<string>>()
  private pendingIds = 0
  private sending?: Promise<void>
  private opening?: Promise<void>
  private isClosed = false

  constructor(
    private readonly routes: readonly HintRoute[],
    private readonly onError: (error: unknown, route: string) => void = () => {},
  ) {}

  /** Resolves once each route is listened to, or has failed for now: it goes on trying by itself. */
  async open(): Promise<void> {
    this.opening ??= Promise.all(
      this.routes.map((route) =>
        route.open(
          (payload) => this.heard(payload),
          (error) => this.onError(error, route.name),
        ),
      ),
    ).then(() => {})
    await this.opening
  }

  /** Tells the other processes, soon. `id` has at most 200 characters. */
  send(kind: string, id: string): void {
    if (this.isClosed || this.pendingIds >= MOST_PENDING) return
    const ids = this.pending.get(kind) ?? new Set()
    this.pending.set(kind, ids)
    if (!ids.has(id)) this.pendingIds++
    ids.add(id)
    this.sending ??= this.sendAll()
  }

  /** Calls back for each hint of this kind from another process; the returned function ends it. */
  on(kind: string, listener: (id: string) => void): () => void {
    const listeners = this.listeners.get(kind) ?? new Set()
    this.listeners.set(kind, listeners)
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  /** Sends what waits and ends. */
  async close(): Promise<void> {
    this.isClosed = true
    await this.sending
    await Promise.all(this.routes.map((route) => route.close()))
  }

  private async sendAll(): Promise<void> {
    // Everything that this turn of the event loop says travels together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.pendingIds > 0) {
      const payloads = payloadsOf(this.self, this.pending)
      this.pending = new Map()
      this.pendingIds = 0
      const route = await this.sendBy(payloads)
      if (!this.isClosed) await delay(route?.everyMs ?? 0)
    }
    this.sending = undefined
  }

  /** The route that took them; none when they are lost. */
  private async sendBy(payloads: readonly string[]): Promise<HintRoute | undefined> {
    for (const route of this.routes) {
      if (!route.isOpen) continue
      try {
        await route.send(payloads)
        return route
      } catch (error) {
        this.onError(error, route.name)
      }
    }
    return undefined
  }

  /** What is malformed, whoever sent it, is passed over. */
  private heard(payload: string): void {
    const message = readPayload(payload)
    if (!message || message.from === this.self) return
    for (const listener of this.listeners.get(message.kind) ?? [])
      for (const id of message.ids) {
        try {
          listener(id)
        } catch (error) {
          this.onError(error, 'listener')
        }
      }
  }
}
