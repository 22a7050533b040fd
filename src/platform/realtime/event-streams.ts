import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common'
import type { Request, Response } from 'express'
import { Authenticator } from '../auth/authenticator.js'
import { callerOf } from '../auth/socket-caller.js'
import { Dialects } from '../http/dialects.js'
import { plainProblem } from '../http/problem.js'
import { requestContext } from '../http/request-context.js'
import { statusOfKind } from '../http/statuses.js'
import { asDomainError } from '../http/translate.js'
import type { JsonObject } from '../json.js'

/** One event of a stream. */
export interface ServerEvent {
  /** Told to go on behind it: one number or word without line breaks. */
  id: string | number
  event: string
  data: JsonObject
}

/** The events of a stream, in portions as they come up, until `gone` aborts. */
export type EventSource = (gone: AbortSignal) => AsyncIterable<readonly ServerEvent[]>

/** How long clients shall wait before they connect again. */
const RETRY_MS = 3_000
const KEEP_ALIVE_MS = 15_000
/** A client that does not take in what waits for it within this time is cut off: it may go on behind what it has. */
const PATIENCE_MS = 10_000
/** What a token opens is asked again before events are told, but not more often. */
const RECHECK_MS = 1_000

/**
 * Answers that are streams of server-sent events. Each begins with a comment, so that the client knows at once that it is connected, and
 * has another every 15 s while nothing happens. What a stream tells waits for its client: nothing is kept for one that is slow, and one that
 * takes nothing in is cut off. Whose credential has ended is told so by `event: error`, with a problem document, and nothing after it.
 */
@Injectable()
export class EventStreams implements BeforeApplicationShutdown {
  private readonly logger = new Logger(EventStreams.name)
  private readonly open = new Set<EventStream>()
  private beating?: NodeJS.Timeout
  private isStopping = false

  constructor(
    private readonly authenticator: Authenticator,
    private readonly dialects: Dialects,
  ) {}

  get count(): number {
    return this.open.size
  }

  /** Resolves when the stream is over, whoever ended it. What can be refused has to be refused before. */
  async tell(request: Request, response: Response, source: EventSource): Promise<void> {
    const stream = new EventStream(request, response)
    this.open.add(stream)
    this.beating ??= setInterval(() => this.beat(), KEEP_ALIVE_MS)
    // To HEAD there is nothing to be told: it would wait for the end of a stream that has none.
    if (this.isStopping || request.method === 'HEAD') stream.end()
    try {
      for await (const events of source(stream.gone)) {
        await this.check(stream)
        await stream.send(events)
      }
    } catch (error) {
      if (!stream.gone.aborted) this.fail(stream, error)
    } finally {
      stream.end()
      this.open.delete(stream)
      if (this.open.size === 0) {
        clearInterval(this.beating)
        this.beating = undefined
      }
    }
  }

  /** Before the port closes, which waits for every answer. */
  beforeApplicationShutdown(): void {
    this.isStopping = true
    for (const stream of this.open) stream.end()
  }

  private beat(): void {
    for (const stream of this.open)
      void this.check(stream).then(
        () => stream.keepAlive(),
        (error) => this.fail(stream, error),
      )
  }

  /** Throws when the credential does not count any more. */
  private async check(stream: EventStream): Promise<void> {
    const now = performance.now()
    if (now - stream.checkedAt < RECHECK_MS) return
    stream.checkedAt = now
    const { headers, host } = stream.request
    await callerOf({ headers, host, query: new URLSearchParams() }, ['bearer', 'session'], this.authenticator)
  }

  private fail(stream: EventStream, thrown: unknown): void {
    const { path: instance = '', requestId = '', surface } = stream.context
    const error = asDomainError(thrown, instance)
    const dialect = surface ? this.dialects.of(surface) : undefined
    const status = dialect?.status(error.kind) ?? statusOfKind[error.kind]
    if (status >= 500)
      this.logger.error({ err: error.cause ?? error, requestId }, 'a stream of events ended with an error')
    stream.tellLast((dialect?.problem ?? plainProblem)(error, { status, instance, requestId }))
  }
}

class EventStream {
  private readonly controller = new AbortController()
  checkedAt = performance.now()
  /** Kept, since a beat comes from no request. */
  readonly context: {
    path?: string
    requestId?: string
    surface?: NonNullable<ReturnType<typeof requestContext>>['surface']
  }

  constructor(
    readonly request: Request,
    private readonly response: Response,
  ) {
    const { path, requestId, surface } = requestContext() ?? {}
    this.context = { path, requestId, surface }
    response.on('close', () => this.controller.abort())
    if (response.destroyed) this.controller.abort()
    response.status(200).setHeader('Content-Type', 'text/event-stream')
    // Proxies that gather answers would hold events back.
    response.setHeader('X-Accel-Buffering', 'no')
    response.socket?.setNoDelay(true)
    response.write(`:connected\n\nretry: ${RETRY_MS}\n\n`)
  }

  /** Aborts once the client is gone, or shall be told nothing more. */
  get gone(): AbortSignal {
    return this.controller.signal
  }

  /** Resolves when there is room for more. */
  async send(events: readonly ServerEvent[]): Promise<void> {
    for (const event of events) {
      if (this.gone.aborted) return
      if (!this.response.write(spelled(event))) await this.room()
    }
  }

  keepAlive(): void {
    if (!this.gone.aborted && !this.response.writableNeedDrain) this.response.write(':keep-alive\n\n')
  }

  tellLast(problem: JsonObject): void {
    if (!this.gone.aborted) this.response.write(`event: error\ndata: ${JSON.stringify(problem)}\n\n`)
    this.end()
  }

  end(): void {
    this.controller.abort()
    if (!this.response.writableEnded) this.response.end()
  }

  private async room(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cutOff = setTimeout(() => this.response.destroy(), PATIENCE_MS)
      const done = () => {
        clearTimeout(cutOff)
        this.response.off('drain', done)
        this.gone.removeEventListener('abort', done)
        resolve()
      }
      this.response.once('drain', done)
      this.gone.addEventListener('abort', done)
      if (this.gone.aborted) done()
    })
  }
}

/** JSON has no line breaks outside its texts, and escapes those inside. */
function spelled({ id, event, data }: ServerEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
