import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { RedisServer } from '../../support/peers/redis.js'
import { ADMIN } from '../client.js'
import { PostgresUnderTest } from './postgres.js'
import { type Role, ServerUnderFire } from './server.js'

export interface ClusterOptions {
  folder: string
  /** What `node` is started with for a role. */
  program(role: Role): readonly string[]
  /** The role of each process. */
  roles: readonly Role[]
  redis: boolean
  /** `host:port` that flows may reach. */
  outside: string
  /** The file with the sources of jobs. */
  jobSources?: string
}

/** How long a server may take on SIGTERM for what runs. */
const GRACE_MS = 1_000

/** One Postgres, perhaps one Redis, and several processes of the product on them. */
export class Cluster {
  private forget = () => {}

  private constructor(
    readonly folder: string,
    readonly postgres: PostgresUnderTest,
    readonly redis: RedisServer | undefined,
    readonly servers: readonly ServerUnderFire[],
  ) {}

  static async start({
    folder,
    program,
    roles,
    redis: withRedis,
    outside,
    jobSources,
  }: ClusterOptions): Promise<Cluster> {
    const logs = join(folder, 'logs')
    await mkdir(logs, { recursive: true })
    const postgres = await PostgresUnderTest.start(join(folder, 'database'))
    const redis = withRedis ? await RedisServer.start() : undefined
    const environment = {
      NODE_ENV: 'test',
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: postgres.url,
      DATABASE_POOL_SIZE: '5',
      ...(redis ? { REDIS_URL: redis.url } : {}),
      ADMIN_EMAIL: ADMIN.username,
      ADMIN_PASSWORD: ADMIN.password,
      OUTBOUND_ALLOW: outside,
      ...(jobSources ? { JOB_SOURCES: jobSources } : {}),
      RATE_LIMIT: '0',
      SHUTDOWN_GRACE_MS: String(GRACE_MS),
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'json',
    }
    const isWorking = async (pid: number) => {
      const found = await postgres.query('select from engine_instance where pid = $1 and lost_at is null', [pid])
      return found.length > 0
    }
    const servers = roles.map((role, index) => {
      const name = `${role}-${index + 1}`
      return new ServerUnderFire({
        role,
        name,
        program: program(role),
        environment,
        logFile: join(logs, `${name}.log`),
        isWorking,
      })
    })
    const cluster = new Cluster(folder, postgres, redis, servers)
    const abandon = () => cluster.abandon()
    process.once('exit', abandon)
    cluster.forget = () => process.off('exit', abandon)
    try {
      // The first makes the schema and the keys.
      for (const server of servers) {
        if (!(await server.start())) throw new Error(`${server.name} did not start: see ${logs}`)
      }
      return cluster
    } catch (error) {
      await cluster.destroy()
      throw error
    }
  }

  /** Those that answer HTTP now. */
  get apis(): ServerUnderFire[] {
    return this.servers.filter(({ role, isUp }) => role === 'api' && isUp)
  }

  /** The harness itself ends in the middle: no server outlives it. */
  private abandon(): void {
    for (const { pid, isThere } of this.servers) if (isThere) process.kill(pid, 'SIGKILL')
  }

  /** Everything is gone when this resolves, in whatever state it was. */
  async destroy(): Promise<void> {
    this.forget()
    await Promise.all(this.servers.map((server) => server.kill()))
    await this.redis?.stop()
    await this.postgres.stop()
  }
}
