import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'

const ADMIN = { username: 'admin@example.com', password: 'correct horse battery' }

export interface ServerOptions {
  /** The folder of the checkout whose build is served. */
  root: string
  databaseUrl: string
  dataDir: string
  /** Where to leave a processor profile; none without it. */
  profileDir?: string
}

/** A server as one account asks it over loopback. */
class BenchAccount {
  private readonly pool: Pool
  private token = ''

  constructor(readonly origin: string) {
    this.pool = new Pool(origin, { connections: 256, pipelining: 1 })
  }

  async login(credentials: object): Promise<void> {
    this.token = (await this.ask<{ token: string }>('POST', '/api/v1/auth/login', credentials)).token
  }

  get authorization(): string {
    return `Bearer ${this.token}`
  }

  async createFlow(definition: string): Promise<string> {
    return (await this.ask<{ id: string }>('POST', '/api/v1/flows', { name: 'Bench', definition })).id
  }

  /** Resolves with the execution's id once it is accepted. */
  async run(flowId: string, input: object = { n: 1 }): Promise<string> {
    const path = `/api/v1/flows/${flowId}/run`
    return (await this.ask<{ execution_id: string }>('POST', path, { input })).execution_id
  }

  async ask<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const { statusCode, body: answer } = await this.pool.request({
      method,
      path,
      headers: {
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
      },
      body: body && JSON.stringify(body),
    })
    if (statusCode >= 300) throw new Error(`${path} answered ${statusCode}: ${await answer.text()}`)
    return (await answer.json()) as T
  }

  async close(): Promise<void> {
    await this.pool.close()
  }
}

/** A built server as a child process, asked by its admin. */
export class BenchServer extends BenchAccount {
  private constructor(
    private readonly options: ServerOptions,
    private readonly port: number,
    private child: ChildProcess,
  ) {
    super(`http://127.0.0.1:${port}`)
  }

  static async start(options: ServerOptions): Promise<BenchServer> {
    const port = await freePort()
    const server = new BenchServer(options, port, spawnServer(options, port))
    await server.ready()
    await server.login(ADMIN)
    return server
  }

  /** The same server as another account has it, which is made for that. */
  async another(email: string): Promise<BenchAccount> {
    const password = 'correct horse battery'
    await this.ask('POST', '/api/v1/accounts', { name: 'Another', email, password, role: 'user' })
    const account = new BenchAccount(this.origin)
    await account.login({ username: email, password })
    return account
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Ends it as a power cut would, and starts it again at the same port. Resolves with the milliseconds that it was away. */
  async killAndRestart(): Promise<number> {
    const from = performance.now()
    const ended = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await ended
    this.child = spawnServer(this.options, this.port)
    await this.ready()
    return performance.now() - from
  }

  async stop(): Promise<void> {
    await this.close()
    const ended = once(this.child, 'close')
    this.child.kill('SIGTERM')
    await ended
  }

  /** Resolves when the server answers. Its log does not tell: at this level it says nothing of a start. */
  private async ready(): Promise<void> {
    const { child } = this
    while (child.exitCode === null && child.signalCode === null) {
      const answer = await fetch(`http://127.0.0.1:${this.port}/api/health`).catch(() => undefined)
      await answer?.arrayBuffer()
      if (answer?.ok) return
      await delay(20)
    }
    throw new Error('the server ended before it answered')
  }
}

function spawnServer({ root, databaseUrl, dataDir, profileDir }: ServerOptions, port: number): ChildProcess {
  const profiling = profileDir ? ['--cpu-prof', `--cpu-prof-dir=${profileDir}`] : []
  return spawn(process.execPath, [...profiling, join(root, 'dist/app/api.js')], {
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'test',
      PORT: String(port),
      DATA_DIR: dataDir,
      DATABASE_URL: databaseUrl,
      ADMIN_EMAIL: ADMIN.username,
      ADMIN_PASSWORD: ADMIN.password,
      RATE_LIMIT: '0',
      LOG_FORMAT: 'json',
      // A line per request would be read by the process that makes the load.
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
