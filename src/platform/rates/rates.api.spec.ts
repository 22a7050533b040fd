import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NestExpressApplication } from '@nestjs/platform-express'
import request from 'supertest'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ADMIN, type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import { testConfig } from '../../../test/support/config.js'
import { noRedis, RedisServer } from '../../../test/support/peers/redis.js'
import { createApp } from '../../app/create-app.js'
import { systemClock } from '../clock/clock.js'
import { createLog } from '../log/log.js'

const LIMIT = 40

/** Three servers on one database. */
class Installation {
  private constructor(
    readonly api: ApiUnderTest,
    private readonly others: NestExpressApplication[],
  ) {}

  static async start(set: Record<string, string> = {}): Promise<Installation> {
    const api = await apiUnderTest({ RATE_LIMIT: String(LIMIT), ...set })
    const others = [await another(api, set), await another(api, set)]
    return new Installation(api, others)
  }

  get servers(): NestExpressApplication[] {
    return [this.api.app, ...this.others]
  }

  async close(): Promise<void> {
    for (const other of this.others) await other.close()
    await this.api.close()
  }
}

async function another(api: ApiUnderTest, set: Record<string, string>): Promise<NestExpressApplication> {
  const config = testConfig({
    DATABASE_URL: api.databaseUrl,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    RATE_LIMIT: String(LIMIT),
    ...set,
  })
  const app = await createApp({ config, log: createLog(config) })
  await app.listen(0, '127.0.0.1')
  return app
}

/** The statuses of so many requests of one account at once, spread over the servers. */
async function statuses({ api, servers }: Installation, requests: number): Promise<number[]> {
  const Authorization = await api.asAdmin()
  const asked = Array.from({ length: requests }, async (_, n) => {
    const server = servers[n % servers.length] ?? api.app
    const { status, headers } = await request(server.getHttpServer()).get('/api/v1/flows').set({ Authorization })
    expect(headers['x-ratelimit-limit']).toBe(String(LIMIT))
    expect(Number(headers['x-ratelimit-remaining'])).toBeLessThan(LIMIT)
    if (status === 429) expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1)
    return status
  })
  return await Promise.all(asked)
}

const passed = (all: number[]) => all.filter((status) => status === 200).length

describe.each([
  { by: 'Postgres', missing: false as const },
  { by: 'Redis', missing: noRedis },
])('three servers that count by $by', ({ by, missing }) => {
  let redis: RedisServer | undefined
  let installation: Installation

  beforeAll(async () => {
    if (missing) return
    if (by === 'Redis') redis = await RedisServer.start()
    installation = await Installation.start(redis ? { REDIS_URL: redis.url } : {})
    // No test falls on the turn of a minute.
    vi.spyOn(systemClock, 'now').mockReturnValue(new Date())
  })

  afterAll(async () => {
    vi.restoreAllMocks()
    await installation?.close()
    await redis?.stop()
  })

  it.skipIf(missing)('let no more through than the limit, whichever is asked', async () => {
    const all = await statuses(installation, 3 * LIMIT)
    // A share that a server has and is not asked for is not used: each keeps at most the last that it took.
    expect(passed(all)).toBeLessThanOrEqual(LIMIT)
    expect(passed(all)).toBeGreaterThan(LIMIT - 2 * Math.ceil(LIMIT / 16))
    for (const server of installation.servers)
      await request(server.getHttpServer())
        .get('/api/v1/flows')
        .set('Authorization', await installation.api.asAdmin())
        .expect(429)
    // Those without credentials count against their address.
    await installation.api.get('/api/v1/flows').expect(401)
  })

  it.skipIf(missing)('go on, each by itself, when nobody counts for them any more', async () => {
    await redis?.kill()
    await installation.api.dropDatabase()
    vi.mocked(systemClock.now).mockReturnValue(new Date(systemClock.now().getTime() + 60_000))
    for (const server of installation.servers) {
      const { headers } = await request(server.getHttpServer()).get('/api/health').expect(503)
      expect(headers['x-ratelimit-remaining']).toBe(String(LIMIT - 1))
    }
  })
})

describe('a limit of flwd’s requests by security profile', () => {
  let api: ApiUnderTest
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-rates-'))
    const file = join(folder, 'jobs.yaml')
    writeFileSync(
      file,
      `sources: []
limits: { secure: { requestsPerMinute: 5 }, permissive: { requestsPerMinute: 30 } }
profiles: { requests: [permissive] }`,
    )
    api = await apiUnderTest({ RATE_LIMIT: '10', JOB_SOURCES: file })
    vi.spyOn(systemClock, 'now').mockReturnValue(new Date())
  })

  afterAll(async () => {
    vi.restoreAllMocks()
    await api.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('is told and kept where it is the tighter one, and binds no other API', async () => {
    const Authorization = await api.asAdmin()
    const told = async (path: string, status: number) => {
      const { headers } = await api.get(path).set({ Authorization }).expect(status)
      return [headers['x-ratelimit-limit'], headers['x-ratelimit-remaining']].map(Number)
    }
    for (const left of [4, 3, 2, 1, 0]) expect(await told('/api/v1/artifacts', 200)).toEqual([5, left])
    expect(await told('/api/v1/artifacts', 429)).toEqual([5, 0])
    expect(await told('/api/v1/flows', 200)).toEqual([10, 3])
    // Those without credentials have a count of their own, of both kinds.
    const { headers } = await api.get('/api/v1/health').expect(200)
    expect(headers).toMatchObject({ 'x-ratelimit-limit': '5', 'x-ratelimit-remaining': '4' })
  })

  it('gives way to that of all requests where less is left of that', async () => {
    const Authorization = await api.asAdmin()
    for (let n = 0; n < 3; n++) await api.get('/api/v1/flows').set({ Authorization }).expect(200)
    const { headers } = await api.get('/api/v1/artifacts').set({ Authorization }).expect(429)
    expect(headers['x-ratelimit-limit']).toBe('10')
  })
})
