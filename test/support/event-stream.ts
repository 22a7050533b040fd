import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import superagent from 'superagent'
import { vi } from 'vitest'
import type { ApiUnderTest } from './api.js'

/** An event as it came. */
export interface ReceivedEvent {
  id: string
  event: string
  // biome-ignore lint/suspicious/noExplicitAny: read member by member in the specs
  data: any
}

/**
 * A stream has no end, so that supertest would wait for ever: it takes the first portion and hangs up. Whoever wants to read on takes
 * `openStream`.
 */
export function hangUpOnStreams(): void {
  const { parse, buffer } = superagent as unknown as {
    parse: Record<string, (response: IncomingMessage & { text: string }, done: () => void) => void>
    buffer: Record<string, boolean>
  }
  buffer['text/event-stream'] = true
  parse['text/event-stream'] = (response, done) => {
    response.setEncoding('utf8')
    response.once('data', (portion: string) => {
      response.text = portion
      done()
      response.emit('end')
      response.destroy()
    })
    response.on('error', () => {})
  }
}

/** A client of a stream of server-sent events, as a browser's: it takes what comes until it leaves, or the server ends it. */
export class EventStreamClient {
  readonly events: ReceivedEvent[] = []
  readonly comments: string[] = []
  retry?: number
  hasEnded = false
  private rest = ''

  private constructor(
    readonly response: Response,
    private readonly controller: AbortController,
    readonly over: Promise<void>[] = [],
  ) {}

  /** Resolves once the server has answered; what it refuses is in `response`. */
  static async open(api: ApiUnderTest, path: string, headers: Record<string, string>): Promise<EventStreamClient> {
    const { port } = api.app.getHttpServer().address() as AddressInfo
    return await EventStreamClient.at(`http://127.0.0.1:${port}${path}`, headers)
  }

  static async at(url: string, headers: Record<string, string>): Promise<EventStreamClient> {
    const controller = new AbortController()
    const response = await fetch(url, { headers, signal: controller.signal })
    const client = new EventStreamClient(response, controller)
    if (response.headers.get('content-type')?.startsWith('text/event-stream')) client.over.push(client.read())
    return client
  }

  /** The id of the last event, to go on behind. */
  get lastId(): string {
    return this.events.at(-1)?.id ?? ''
  }

  async until(found: (event: ReceivedEvent) => boolean, timeout = 15_000): Promise<void> {
    await vi.waitUntil(() => this.events.some(found), { timeout, interval: 5 })
  }

  async ended(timeout = 15_000): Promise<void> {
    await vi.waitUntil(() => this.hasEnded, { timeout, interval: 5 })
  }

  async leave(): Promise<void> {
    this.controller.abort()
    await Promise.all(this.over)
  }

  private async read(): Promise<void> {
    try {
      const text = this.response.body?.pipeThrough(new TextDecoderStream()) ?? []
      for await (const portion of text as AsyncIterable<string>) this.take(portion)
    } catch {
      // The connection was cut, by this side or the other.
    }
    this.hasEnded = true
  }

  private take(portion: string): void {
    const blocks = (this.rest + portion).split('\n\n')
    this.rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = block.split('\n').map((line): [string, string] => {
        const [name = '', ...value] = line.split(':')
        return [name, value.join(':').replace(/^ /, '')]
      })
      const field = new Map(fields)
      const comment = field.get('')
      if (comment !== undefined) this.comments.push(comment)
      if (field.has('retry')) this.retry = Number(field.get('retry'))
      const data = field.get('data')
      if (data !== undefined)
        this.events.push({ id: field.get('id') ?? '', event: field.get('event') ?? '', data: JSON.parse(data) })
    }
  }
}
