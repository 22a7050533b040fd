import { createHash } from 'node:crypto'
import { Agent, request } from 'undici'
import type { Random } from './random.js'

export const ADMIN = { username: 'admin@example.com', password: 'correct horse battery' }

/** A server that answers. */
export interface Reachable {
  url: string
}

export interface Answer<T> {
  status: number
  body: T
}

/** No answer of the application: the connection broke, nobody was there, or the server said to come again. */
export class NoAnswer extends Error {}

/** Asks the servers under fire as a client would who knows that they die: anyone who is there, again and again. */
export class Client {
  private readonly agent = new Agent({ headersTimeout: 8_000, bodyTimeout: 8_000, connect: { timeout: 2_000 } })
  private token = ''

  constructor(
    private readonly servers: () => readonly Reachable[],
    private readonly random: Random,
  ) {}

  async login(): Promise<{ accountId: string }> {
    const { body } = await this.insist<{ token: string; account_id: string }>('POST', '/api/v1/auth/login', ADMIN)
    this.token = body.token
    return { accountId: body.account_id }
  }

  /** Repeats a request that may be repeated until it is answered. Gives up with `NoAnswer` when `goOn` says so. */
  async insist<T>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object,
    { key, goOn = () => true }: { key?: string; goOn?: () => boolean } = {},
  ): Promise<Answer<T>> {
    for (;;) {
      try {
        return await this.ask<T>(method, path, body, key)
      } catch (error) {
        if (!(error instanceof NoAnswer) || !goOn()) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  /** Asks once. */
  async ask<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object, key?: string): Promise<Answer<T>> {
    const servers = this.servers()
    if (servers.length === 0) throw new NoAnswer('no server is up')
    return await this.askOne<T>(this.random.pick(servers), method, path, body, key)
  }

  async askOne<T>(
    { url }: Reachable,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object,
    key?: string,
  ): Promise<Answer<T>> {
    let status: number
    let text: string
    try {
      const answer = await request(url + path, {
        dispatcher: this.agent,
        method,
        headers: {
          ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
          ...(body ? { 'content-type': 'application/json' } : {}),
          ...(key ? { 'idempotency-key': key } : {}),
        },
        body: body && JSON.stringify(body),
      })
      status = answer.statusCode
      text = await answer.body.text()
    } catch (error) {
      throw new NoAnswer(String(error))
    }
    if (status >= 500 || status === 429) throw new NoAnswer(`${path} answered ${status}: ${text}`)
    return { status, body: JSON.parse(text || 'null') as T }
  }

  /** The SHA-256, in hex, of what is downloaded. */
  async digest({ url }: Reachable, path: string): Promise<string> {
    const { statusCode, body } = await request(url + path, {
      dispatcher: this.agent,
      headers: { authorization: `Bearer ${this.token}` },
    })
    const content = Buffer.from(await body.arrayBuffer())
    return statusCode === 200 ? createHash('sha256').update(content).digest('hex') : `${statusCode}: ${content}`
  }

  /** The blocks of a stream of server-sent events, from some server that is up, until it ends or the caller leaves. */
  async *stream(path: string, lastEventId: string | undefined, leave: AbortSignal): AsyncGenerator<string> {
    const servers = this.servers()
    if (servers.length === 0) throw new NoAnswer('no server is up')
    let refusal = ''
    try {
      const { statusCode, body } = await request(this.random.pick(servers).url + path, {
        dispatcher: this.agent,
        // A comment comes every 15 s.
        bodyTimeout: 20_000,
        signal: leave,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
        },
      })
      if (statusCode === 200) {
        let rest = ''
        for await (const portion of body.setEncoding('utf8')) {
          const blocks = (rest + portion).split('\n\n')
          rest = blocks.pop() ?? ''
          yield* blocks
        }
        return
      }
      refusal = `${path} answered ${statusCode}: ${await body.text()}`
      if (statusCode >= 500 || statusCode === 429) throw new NoAnswer(refusal)
    } catch (error) {
      throw error instanceof NoAnswer ? error : new NoAnswer(String(error))
    }
    throw new Error(refusal)
  }

  async close(): Promise<void> {
    await this.agent.destroy()
  }
}
