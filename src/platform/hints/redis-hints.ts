import { once } from 'node:events'
import { Redis, type RedisOptions } from 'ioredis'
import type { HintRoute } from './hints.js'

const CHANNEL = 'millrace:hints'
/** A Redis that does not answer for so long counts as away, … */
const PATIENCE_MS = 500
/** … and is passed over for so long. */
const PASS_OVER_MS = 2_000

const OPTIONS: RedisOptions = {
  lazyConnect: true,
  // While Redis is away, nothing is kept for it: the next route is taken.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  commandTimeout: PATIENCE_MS,
  connectTimeout: 2_000,
  retryStrategy: (attempt) => Math.min(attempt * 50, 1_000),
  autoResubscribe: false,
}

/** Publish and subscribe of Redis, which costs the database nothing. */
export class RedisHints implements HintRoute {
  readonly name = 'Redis'
  readonly everyMs = 5
  private readonly publisher: Redis
  private readonly subscriber: Redis
  private passedOverUntil = 0

  constructor(url: string) {
    this.publisher = new Redis(url, { ...OPTIONS, connectionName: 'millrace-hints' })
    this.subscriber = new Redis(url, { ...OPTIONS, connectionName: 'millrace-heard' })
  }

  get isOpen(): boolean {
    return this.publisher.status === 'ready' && performance.now() >= this.passedOverUntil
  }

  async open(heard: (payload: string) => void, onError: (error: unknown) => void): Promise<void> {
    this.subscriber.on('message', (_, payload: string) => heard(payload))
    this.subscriber.on('ready', () => {
      this.subscriber.subscribe(CHANNEL).then(
        () => this.subscriber.emit('subscribed'),
        // Not subscribed although connected: from the beginning.
        () => this.subscriber.disconnect(true),
      )
    })
    reportOutages(this.publisher, onError)
    this.subscriber.on('error', () => {})
    const attempted = Promise.race([once(this.subscriber, 'subscribed'), once(this.subscriber, 'reconnecting')])
    // Where they fail they go on by themselves, and the publisher has told.
    this.subscriber.connect().catch(() => {})
    await Promise.all([attempted.catch(() => {}), this.publisher.connect().catch(() => {})])
  }

  async send(payloads: readonly string[]): Promise<void> {
    try {
      await Promise.all(payloads.map((payload) => this.publisher.publish(CHANNEL, payload)))
    } catch (error) {
      this.passedOverUntil = performance.now() + PASS_OVER_MS
      throw error
    }
  }

  async close(): Promise<void> {
    this.publisher.disconnect()
    this.subscriber.disconnect()
  }
}

/** Tells of an outage once, not of each attempt to end it. */
function reportOutages(redis: Redis, onError: (error: unknown) => void): void {
  let isAway = false
  redis.on('error', (error) => {
    if (!isAway) onError(error)
    isAway = true
  })
  redis.on('ready', () => {
    isAway = false
  })
}
