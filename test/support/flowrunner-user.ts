import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'supertest'
import { DataSource } from 'typeorm'
import { expect, vi } from 'vitest'
import { WebSocket } from 'ws'
import { stringify } from 'yaml'
import { ADMIN, type ApiUnderTest } from './api.js'
import { published } from './published-messages.js'

export interface Execution {
  id: string
  flow_id: string
  status: 'running' | 'completed' | 'failed' | 'cancelled'
  input: Record<string, unknown>
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is up to each flow
  result?: any
  started_at: string
  completed_at?: string
  duration?: number
  error?: string
}

export interface LogLine {
  level: string
  message: string
  node_id?: string
  node_type?: string
  data?: Record<string, unknown>
}

/** A message of the WebSocket. Which members are there follows from `type`. */
export interface Message {
  type: string
  // biome-ignore lint/suspicious/noExplicitAny: read member by member in the specs
  [member: string]: any
}

type Nodes = Record<string, Record<string, unknown>>

/** A definition with these nodes, in YAML. */
export function definitionOf(nodes: Nodes, metadata: Record<string, unknown> = {}): string {
  return stringify({ metadata: { name: 'Spec', version: '1.0.0', ...metadata }, nodes })
}

/** Somebody with an account who uses FlowRunner's API. */
export class FlowRunnerUser {
  private constructor(
    readonly api: ApiUnderTest,
    readonly accountId: string,
    readonly token: string,
  ) {}

  static async login(api: ApiUnderTest, { email, password } = ADMIN): Promise<FlowRunnerUser> {
    const { body } = await api.post('/api/v1/auth/login').send({ username: email, password }).expect(200)
    return new FlowRunnerUser(api, body.account_id, body.token)
  }

  /** Makes an account and logs in with it. */
  async colleague(email: string): Promise<FlowRunnerUser> {
    const password = 'correct horse battery'
    const { status } = await this.post('/api/v1/accounts', { name: email, email, password, role: 'user' })
    // A test that is tried a second time made one of that name the first time.
    if (status === 409) return await this.colleague(`again-${email}`)
    expect(status).toBe(201)
    return await FlowRunnerUser.login(this.api, { email, password })
  }

  get authorization(): string {
    return `Bearer ${this.token}`
  }

  get(path: string): Test {
    return this.api.get(path).set('Authorization', this.authorization)
  }

  post(path: string, body: object = {}): Test {
    return this.api.post(path).set('Authorization', this.authorization).send(body)
  }

  put(path: string, body: object): Test {
    return this.api.put(path).set('Authorization', this.authorization).send(body)
  }

  delete(path: string): Test {
    return this.api.delete(path).set('Authorization', this.authorization)
  }

  /** Uploads a flow; answers its id. */
  async flow(nodes: Nodes | string, name = 'Spec'): Promise<string> {
    const definition = typeof nodes === 'string' ? nodes : definitionOf(nodes)
    const { body } = await this.post('/api/v1/flows', { name, definition }).expect(201)
    return body.id
  }

  async secret(key: string, value: string): Promise<void> {
    await this.post(`/api/v1/accounts/${this.accountId}/secrets`, { key, value }).expect(201)
  }

  /** Starts an execution; answers its id. */
  async start(flowId: string, input: object = {}): Promise<string> {
    const { body } = await this.post(`/api/v1/flows/${flowId}/run`, { input }).expect(201)
    return body.execution_id
  }

  async execution(id: string): Promise<Execution> {
    return (await this.get(`/api/v1/executions/${id}`).expect(200)).body
  }

  /** Waits until an execution has ended. */
  async ended(id: string): Promise<Execution> {
    return await vi.waitFor(
      async () => {
        const execution = await this.execution(id)
        if (execution.status === 'running') throw new Error(`${id} still runs`)
        return execution
      },
      { timeout: 15_000, interval: 25 },
    )
  }

  /** Uploads a flow, runs it and waits for its end. */
  async outcome(nodes: Nodes | string, input: object = {}): Promise<Execution> {
    return await this.ended(await this.start(await this.flow(nodes), input))
  }

  /** Resolves once a step of the execution waits for a signal: a signal goes to those that wait, and is kept for one where nobody does. */
  async waits(id: string): Promise<void> {
    const waiting = 'select from signal_wait where run_id = $1 and delivered_at is null'
    await vi.waitUntil(async () => (await this.api.app.get(DataSource).query(waiting, [id])).length > 0)
  }

  async logs(id: string, query = '?limit=1000'): Promise<LogLine[]> {
    return (await this.get(`/api/v1/executions/${id}/logs${query}`).expect(200)).body.logs
  }

  watch(id: string): Watcher {
    return new Watcher(this.api, `/ws/executions/${id}`, { authorization: this.authorization })
  }
}

/** One connection to a WebSocket, that of an execution unless said. Every message is held against the published AsyncAPI document. */
export class Watcher {
  readonly messages: Message[] = []
  readonly socket: WebSocket
  private readonly faults: string[] = []
  private readonly end: Promise<[number, Buffer]>

  constructor(
    { app }: Pick<ApiUnderTest, 'app'>,
    path: string,
    headers: Record<string, string> = {},
    address = '/ws/executions/{execution_id}',
  ) {
    const { port } = app.getHttpServer().address() as AddressInfo
    this.socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers })
    this.socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as Message
      this.faults.push(...published(app).faults(address, message))
      this.messages.push(message)
    })
    this.end = once(this.socket, 'close') as Promise<[number, Buffer]>
  }

  /** Resolves with the close code; rejects when a message was not as published. */
  async closed(): Promise<number> {
    const [code] = await this.end
    if (this.faults.length > 0) throw new Error(this.faults.join('\n'))
    return code
  }

  /** Waits for a message. */
  async message(matches: (message: Message) => boolean): Promise<Message> {
    return await vi.waitFor(
      () => {
        const found = this.messages.find(matches)
        if (!found) throw new Error(`no such message among ${JSON.stringify(this.messages)}`)
        return found
      },
      { timeout: 15_000, interval: 10 },
    )
  }

  of(type: string): Message[] {
    return this.messages.filter((message) => message.type === type)
  }
}
