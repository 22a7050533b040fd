import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'

const ADMIN = { username: 'admin@example.com', password: 'correct horse battery' }
const ENTRY = fileURLToPath(new URL('../dist/app/api.js', import.meta.url))

export interface ServerOptions {
  databaseUrl: string
  dataDir: string
  connections: number
  /** Where to leave a processor profile; none without it. */
  profileDir?: string
}

/** The built server as a child process, asked over loopback. */
export class BenchServer {
  private constructor(
    private readonly child: ChildProcess,
    private readonly pool: Pool,
    private token: string,
  ) {}

  static async start({ databaseUrl, dataDir, connections, profileDir }: ServerOptions): Promise<BenchServer> {
    const profiling = profileDir ? ['--cpu-prof', `--cpu-prof-dir=${profileDir}`] : []
    const port = await freePort()
    const child = spawn(process.execPath, [...profiling, ENTRY], {
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
    const url = `http://127.0.0.1:${port}`
    await healthy(child, url)
    const server = new BenchServer(child, new Pool(url, { connections, pipelining: 1 }), '')
    const { token } = await server.post<{ token: string }>('/api/v1/auth/login', ADMIN)
    server.token = token
    return server
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  async createFlow(definition: string): Promise<string> {
    return (await this.post<{ id: string }>('/api/v1/flows', { name: 'Bench', definition })).id
  }

  /** Resolves with the execution's id once it is accepted. */
  async run(flowId: string): Promise<string> {
    return (await this.post<{ execution_id: string }>(`/api/v1/flows/${flowId}/run`, { input: { n: 1 } })).execution_id
  }

  async stop(): Promise<void> {
    await this.pool.close()
    this.child.kill('SIGTERM')
    await once(this.child, 'close')
  }

  private async post<T>(path: string, body: object): Promise<T> {
    const { statusCode, body: answer } = await this.pool.request({
      method: 'POST',
      path,
      headers: {
        'content-type': 'application/json',
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
      },
      body: JSON.stringify(body),
    })
    if (statusCode >= 300) throw new Error(`${path} answered ${statusCode}: ${await answer.text()}`)
    return (await answer.json()) as T
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

/** Resolves when the server answers. Its log does not tell: at this level it says nothing of a start. */
async function healthy(child: ChildProcess, url: string): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const answer = await fetch(`${url}/api/health`).catch(() => undefined)
    if (answer?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the server ended before it answered')
}
