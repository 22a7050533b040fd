import type { QueueOptions } from 'bull'
import { Redis, type RedisOptions } from 'ioredis'

/** A Redis that does not answer for so long counts as away. */
const PATIENCE_MS = 2_000
const PROBE_MS = 1_000

/** What adds, completes and renews: asked of a Redis that is away, it fails at once instead of waiting for one that may never come. */
const ASKING: RedisOptions = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  commandTimeout: PATIENCE_MS,
}

/** What waits for jobs, for as long as it takes, as Bull demands. */
const WAITING: RedisOptions = { enableReadyCheck: false, maxRetriesPerRequest: null }

export interface QueueConnectionsEvents {
  /** Redis does not answer; told once per outage. */
  onAway(error: unknown): void
  /** Redis answers: for the first time, or again after an outage, in which it may have lost everything. */
  onThere(): void
}

/**
 * The connections of all Bull queues of a process: one that asks, one that is told of events, and for each queue that is taken from one
 * that waits. They are made when a queue first needs them, come back by themselves, and tell whether Redis answers at present.
 */
export class QueueConnections {
  private readonly all: Redis[] = []
  private readonly shared = new Map<string, Redis>()
  private probing?: NodeJS.Timeout
  private answers = false
  private told = false
  events: QueueConnectionsEvents = { onAway: () => {}, onThere: () => {} }

  constructor(private readonly url: string) {}

  /** Tells from now on whether Redis answers. */
  open(): void {
    this.probing ??= setInterval(() => void this.probe(), PROBE_MS)
    this.asking()
  }

  get isOpen(): boolean {
    return this.answers && this.asking().status === 'ready'
  }

  /** For Bull, which says what each connection is for. */
  readonly createClient: NonNullable<QueueOptions['createClient']> = (type) => {
    if (type === 'bclient') return this.connect('millrace-queue', WAITING)
    return type === 'subscriber' ? this.sharedAs('millrace-told', WAITING) : this.asking()
  }

  close(): void {
    clearInterval(this.probing)
    this.probing = undefined
    this.answers = false
    for (const redis of this.all) redis.disconnect()
  }

  private asking(): Redis {
    return this.sharedAs('millrace-ask', ASKING)
  }

  private sharedAs(name: string, options: RedisOptions): Redis {
    const known = this.shared.get(name) ?? this.connect(name, options)
    this.shared.set(name, known)
    return known
  }

  private connect(name: string, options: RedisOptions): Redis {
    const redis = new Redis(this.url, {
      ...options,
      connectionName: name,
      connectTimeout: PATIENCE_MS,
      retryStrategy: (attempt) => Math.min(attempt * 50, 1_000),
    })
    // Each queue listens to those that it shares with others.
    redis.setMaxListeners(0)
    this.all.push(redis)
    if (options === ASKING) {
      redis.on('ready', () => void this.probe())
      redis.on('error', (error) => this.failed(error))
      redis.on('close', () => this.failed(new Error('the connection to Redis was closed')))
    } else redis.on('error', () => {})
    return redis
  }

  private async probe(): Promise<void> {
    const redis = this.asking()
    if (redis.status !== 'ready') return
    try {
      await redis.ping()
      if (this.answers) return
      this.answers = true
      this.told = false
      this.events.onThere()
    } catch (error) {
      this.failed(error)
    }
  }

  /** Redis did not do what it was asked: it counts as away until it answers again. */
  failed(error: unknown): void {
    this.answers = false
    if (this.told || this.probing === undefined) return
    this.told = true
    this.events.onAway(error)
  }
}

/** Resolves once the connection is there. */
export async function ready(redis: Redis): Promise<void> {
  if (redis.status !== 'ready') await new Promise((resolve) => redis.once('ready', resolve))
}
