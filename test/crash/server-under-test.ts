import { readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { EmbeddedPostgres } from '../../src/platform/database/embedded-postgres.js'
import { runFromSource, type SourceProcess } from '../support/process.js'

const ADMIN = { username: 'admin@example.com', password: 'correct horse battery' }

interface Execution {
  execution_id: string
}

/** The real server in a process of its own, on a data folder and an embedded database that outlive it. */
export class ServerUnderTest {
  private process?: SourceProcess
  private token = ''
  url = ''

  private constructor(
    readonly dataDir: string,
    private readonly environment: Record<string, string>,
  ) {}

  static async create(environment: Record<string, string>): Promise<ServerUnderTest> {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-crash-'))
    // Started as root, the database runs as another user, who must be able to pass through.
    await chmod(folder, 0o711)
    return new ServerUnderTest(folder, environment)
  }

  async start(): Promise<void> {
    this.process = runFromSource(['src/app/api.ts'], {
      DATA_DIR: this.dataDir,
      PORT: '0',
      ADMIN_EMAIL: ADMIN.username,
      ADMIN_PASSWORD: ADMIN.password,
      RATE_LIMIT: '0',
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'json',
      ...this.environment,
    })
    const line = await this.process.line(/"msg":"listening on /)
    this.url = (JSON.parse(line) as { url: string }).url
    const { token } = await this.post<{ token: string }>('/api/v1/auth/login', ADMIN)
    this.token = token
  }

  /** `kill -9` of the server alone. */
  async kill(): Promise<void> {
    await this.end('SIGKILL')
  }

  /** `kill -9` of the server, its database and everything else that it started, at once. */
  async killAll(): Promise<void> {
    const pids = [this.pid, ...descendants(this.pid)]
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await this.process?.ended
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | null> {
    return await this.end('SIGTERM')
  }

  /** Whatever state it is in, it is gone, and its folder with it. */
  async remove(): Promise<void> {
    if (this.process?.child.exitCode === null && this.process.child.signalCode === null) await this.killAll()
    await rm(this.dataDir, { recursive: true, force: true })
  }

  /** What the database holds while no server runs. */
  async inDatabase<T>(read: (query: <Row>(text: string) => Promise<Row[]>) => Promise<T>): Promise<T> {
    const database = await EmbeddedPostgres.start({ dataDir: this.dataDir })
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    try {
      return await read(async (text) => (await client.query(text)).rows)
    } finally {
      await client.end()
      await database.stop()
    }
  }

  async createFlow(definition: string): Promise<string> {
    const { id } = await this.post<{ id: string }>('/api/v1/flows', { name: 'Under test', definition })
    return id
  }

  /** Starts an execution; the key makes it safe to ask again. */
  async run(flowId: string, input: object, key: string): Promise<string> {
    const { execution_id } = await this.post<Execution>(`/api/v1/flows/${flowId}/run`, { input }, key)
    return execution_id
  }

  async signal(key: string): Promise<void> {
    await this.post(`/api/v1/signals/${key}`, { data: { key } })
  }

  async countExecutions(filter: string): Promise<number> {
    return (await this.get<{ total: number }>(`/api/v1/executions?limit=1&${filter}`)).total
  }

  /** Resolves when the execution's WebSocket is open; `heard` resolves with all that it told when the server closes it. */
  async watch(executionId: string): Promise<{ heard: Promise<Record<string, unknown>[]> }> {
    const socket = new WebSocket(
      `${this.url.replace('http', 'ws')}/ws/executions/${executionId}?token=${encodeURIComponent(this.token)}`,
    )
    const messages: Record<string, unknown>[] = []
    const heard = new Promise<Record<string, unknown>[]>((resolve) => {
      socket.onclose = () => resolve(messages)
    })
    await new Promise<void>((resolve, reject) => {
      socket.onerror = () => reject(new Error(`the WebSocket of ${executionId} was refused`))
      socket.onmessage = ({ data }) => {
        messages.push(JSON.parse(String(data)))
        resolve()
      }
    })
    return { heard }
  }

  async get<T>(path: string): Promise<T> {
    return await this.ask<T>(path, { headers: this.headers() })
  }

  private async post<T>(path: string, body: object, key?: string): Promise<T> {
    return await this.ask<T>(path, {
      method: 'POST',
      headers: {
        ...this.headers(),
        'content-type': 'application/json',
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      body: JSON.stringify(body),
    })
  }

  private headers(): Record<string, string> {
    return this.token ? { authorization: `Bearer ${this.token}` } : {}
  }

  private async ask<T>(path: string, init: RequestInit): Promise<T> {
    const response = await fetch(this.url + path, init)
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
    return (await response.json()) as T
  }

  private get pid(): number {
    return this.process?.pid ?? 0
  }

  private async end(signal: NodeJS.Signals): Promise<number | null> {
    this.process?.child.kill(signal)
    this.token = ''
    return (await this.process?.ended)?.code ?? null
  }
}

/** The ids of all processes below one, whatever their sessions and groups. */
function descendants(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = parentOf(Number(name))
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const below = (pid: number): number[] => (children.get(pid) ?? []).flatMap((child) => [child, ...below(child)])
  return below(root)
}

function parentOf(pid: number): number | undefined {
  try {
    // "pid (name) state parent …"; the name may hold anything.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}
