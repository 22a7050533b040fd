import { on, once } from 'node:events'
import { WebSocket } from 'ws'
import type { Login } from './login.js'

export interface DemoFlow {
  id: string
  name: string
  version: string
}

export interface Execution {
  id: string
  status: string
  result?: unknown
  error?: string
  duration?: number
}

/** What the WebSocket of an execution says. Which members are there follows from `type`. */
export interface ExecutionMessage {
  type: 'execution_update' | 'node_completed' | 'execution_completed' | 'execution_failed' | 'log'
  timestamp: string
  status?: string
  node_id?: string
  node_type?: string
  level?: string
  message?: string
  data?: unknown
  result?: unknown
  error?: string
}

/** The part of FlowRunner's published API that the demo needs, called as any client would. */
export class FlowRunnerClient {
  private constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  static async login(url: string, { email, password }: Login): Promise<FlowRunnerClient> {
    const body = { username: email, password }
    const { token } = await call<{ token: string }>('POST', `${url}/api/v1/auth/login`, body)
    return new FlowRunnerClient(url, token)
  }

  /** Creates the flow, or updates the one of the same name. */
  async upload(name: string, definition: string, tag: string): Promise<{ flow: DemoFlow; isNew: boolean }> {
    const { flows } = await this.call<{ flows: DemoFlow[] }>('GET', `/flows?tag=${encodeURIComponent(tag)}&limit=100`)
    const known = flows.find((flow) => flow.name === name)
    const body = { name, definition, tags: [tag] }
    return known
      ? { flow: await this.call('PUT', `/flows/${known.id}`, body), isNew: false }
      : { flow: await this.call('POST', '/flows', body), isNew: true }
  }

  async run(flowId: string, input: object): Promise<string> {
    const { execution_id } = await this.call<{ execution_id: string }>('POST', `/flows/${flowId}/run`, { input })
    return execution_id
  }

  execution(id: string): Promise<Execution> {
    return this.call('GET', `/executions/${id}`)
  }

  /** How the execution stands, then all that happens in it, until it has ended. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<ExecutionMessage> {
    const socket = new WebSocket(`${this.url.replace(/^http/, 'ws')}/ws/executions/${id}`, {
      headers: { authorization: `Bearer ${this.token}` },
    })
    try {
      const messages = on(socket, 'message', { close: ['close'], signal })
      await once(socket, 'open', { signal })
      for await (const [data] of messages) yield JSON.parse(String(data)) as ExecutionMessage
    } finally {
      socket.terminate()
    }
  }

  private call<T>(method: string, path: string, body?: object): Promise<T> {
    return call(method, `${this.url}/api/v1${path}`, body, this.token)
  }
}

/** The server refused. The message is the problem's detail. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail)
  }
}

async function call<T>(method: string, url: string, body?: object, token?: string): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: body && JSON.stringify(body),
  })
  if (response.ok) return (await response.json()) as T
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; errors?: { detail: string }[] }
  const faults = problem.errors?.map(({ detail }) => detail) ?? []
  throw new Refusal(
    response.status,
    [problem.detail ?? `${method} ${url} answered ${response.status}`, ...faults].join('\n'),
  )
}
