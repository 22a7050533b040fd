import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { noRedis, RedisServer } from '../../../test/support/peers/redis.js'
import { Hints } from './hints.js'
import { PostgresHints } from './postgres-hints.js'
import { RedisHints } from './redis-hints.js'

let database: TestDatabase
const opened: Hints[] = []

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map((hints) => hints.close()))
})

afterAll(() => database.drop())

describe('hints by Postgres', () => {
  it('are heard by every other process, and not by the one that sends them', async () => {
    const [one, two, three] = [await join(), await join(), await join()]
    one.hints.send('due', 'default')
    one.hints.send('due', 'gpu')
    one.hints.send('cancelled', 'run_1')
    for (const other of [two, three])
      await vi.waitUntil(() => other.heard.join() === 'due default,due gpu,cancelled run_1')
    expect(one.heard).toEqual([])
  })

  it('travel together, each once, in few notifications', async () => {
    const [one, two] = [await join(), await join()]
    const raw = await rawNotifications()
    const ids = Array.from({ length: 2_000 }, (_, index) => `run_${index}`)
    for (const id of [...ids, ...ids]) one.hints.send('events', id)
    await vi.waitUntil(() => two.heard.length >= ids.length)
    expect(two.heard).toEqual(ids.map((id) => `events ${id}`))
    expect(raw.count()).toBeLessThan(10)
    await raw.stop()
  })

  it('come at once when it was quiet, and 20 times a second when it is not', async () => {
    const [one, two] = [await join(), await join()]
    const raw = await rawNotifications()
    const began = performance.now()
    let said = 0
    while (performance.now() - began < 500) {
      one.hints.send('events', `run_${said++}`)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await vi.waitUntil(() => two.heard.length === said)
    // Ten in half a second, and the first and the last.
    expect(raw.count()).toBeLessThanOrEqual(Math.ceil((performance.now() - began) / 50) + 2)
    await raw.stop()
  })

  it('are passed over when somebody else wrote them', async () => {
    const [one, two] = [await join(), await join()]
    for (const payload of ['', 'x', '["a"]', '["a","due",[1]]', '["a","toString",["b"]]', `["a","due",["b"]]`])
      await database.dataSource.query('select pg_notify($1, $2)', ['millrace_hints', payload])
    one.hints.send('due', 'default')
    await vi.waitUntil(() => two.heard.includes('due default'))
    expect(two.heard).toEqual(['due b', 'due default'])
  })

  it('are heard again after the connection was cut, and sent again', async () => {
    const [one, two] = [await join(), await join()]
    await cut()
    await vi.waitUntil(() => {
      one.hints.send('due', 'one')
      two.hints.send('due', 'two')
      return one.heard.includes('due two') && two.heard.includes('due one')
    })
    expect(new Set(one.errors)).toEqual(new Set(['Postgres']))
  })

  it('of one who throws at them reach the others', async () => {
    const [one, two] = [await join(), await join()]
    two.hints.on('due', () => {
      throw new Error('no')
    })
    one.hints.send('due', 'a')
    one.hints.send('due', 'b')
    await vi.waitUntil(() => two.heard.length === 2)
    await vi.waitUntil(() => two.errors.length === 2)
    expect(two.errors).toEqual(['listener', 'listener'])
  })

  it('leave no connection behind, and nobody waits for them when they are closed', async () => {
    const one = await join()
    one.hints.send('due', 'a')
    await one.hints.close()
    one.hints.send('due', 'b')
    await vi.waitUntil(async () => (await connections()) === 0)
  })
})

describe.skipIf(noRedis)('hints by Redis', () => {
  let redis: RedisServer

  beforeAll(async () => {
    redis = await RedisServer.start()
  })

  // As the next test expects it, whatever became of this one.
  afterEach(() => redis.restart())

  afterAll(() => redis.stop())

  it('travel without Postgres', async () => {
    const [one, two] = [await join(redis.url), await join(redis.url)]
    const raw = await rawNotifications()
    one.hints.send('due', 'default')
    await vi.waitUntil(() => two.heard.includes('due default'))
    expect(raw.count()).toBe(0)
    await raw.stop()
  })

  it('are heard too by a process that has no Redis, from one that has lost it', async () => {
    const [one, two, without] = [await join(redis.url), await join(redis.url), await join()]
    await redis.kill()
    await vi.waitUntil(() => one.errors.includes('Redis'))
    one.hints.send('due', 'by postgres')
    await vi.waitUntil(() => [two, without].every(({ heard }) => heard.includes('due by postgres')))
    await redis.restart()
    const raw = await rawNotifications()
    let said = 0
    await vi.waitUntil(() => {
      one.hints.send('due', `again ${++said}`)
      return two.heard.includes(`due again ${said - 1}`) && !raw.has(`again ${said - 1}`)
    })
    expect(new Set(one.errors)).toEqual(new Set(['Redis']))
    await raw.stop()
  })

  it('go by Postgres while Redis hangs', async () => {
    const [one, two] = [await join(redis.url), await join(redis.url)]
    redis.freeze()
    one.hints.send('due', 'default')
    await vi.waitUntil(() => two.heard.includes('due default'))
  })

  it('work for a process that starts while Redis is away, and by Redis once it is there', async () => {
    await redis.kill()
    const [one, two] = [await join(redis.url), await join(redis.url)]
    one.hints.send('due', 'default')
    await vi.waitUntil(() => two.heard.includes('due default'))
    await redis.restart()
    const raw = await rawNotifications()
    let said = 0
    await vi.waitUntil(() => {
      one.hints.send('due', `again ${++said}`)
      return two.heard.includes(`due again ${said - 1}`) && !raw.has(`again ${said - 1}`)
    })
    await raw.stop()
  })
})

interface Joined {
  hints: Hints
  heard: string[]
  /** The routes that errors were told of. */
  errors: string[]
}

async function join(redisUrl?: string): Promise<Joined> {
  const errors: string[] = []
  const routes = [...(redisUrl ? [new RedisHints(redisUrl)] : []), new PostgresHints(database.sql)]
  const hints = new Hints(routes, (_, route) => errors.push(route))
  opened.push(hints)
  const heard: string[] = []
  for (const kind of ['due', 'cancelled', 'events']) hints.on(kind, (id) => heard.push(`${kind} ${id}`))
  await hints.open()
  return { hints, heard, errors }
}

async function rawNotifications() {
  const client = database.sql.client()
  await client.connect()
  const payloads: string[] = []
  client.on('notification', ({ payload = '' }) => payloads.push(payload))
  await client.query('listen millrace_hints')
  return {
    count: () => payloads.length,
    has: (id: string) => payloads.some((payload) => payload.includes(JSON.stringify(id))),
    stop: () => client.end(),
  }
}

async function cut(): Promise<void> {
  await database.dataSource.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'millrace hints'`,
  )
}

async function connections(): Promise<number> {
  const [{ count }] = await database.dataSource.query(
    `select count(*)::integer as count from pg_stat_activity
      where datname = current_database() and application_name = 'millrace hints'`,
  )
  return count
}
