import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noRedis, RedisServer } from './redis.js'

describe.skipIf(noRedis)('a Redis of a test', () => {
  let redis: RedisServer

  beforeAll(async () => {
    redis = await RedisServer.start()
  })

  afterAll(() => redis.stop())

  it('forgets everything when it is told to, and when it is killed, and comes back on its port', async () => {
    await redis.command('SET a 1')
    expect(await redis.command('GET a')).toBe('$1\r\n1\r\n')
    await redis.flushAll()
    expect(await redis.command('GET a')).toBe('$-1\r\n')
    await redis.command('SET a 2')
    const { port } = redis
    await redis.kill()
    await expect(redis.command('PING')).rejects.toThrow('ECONNREFUSED')
    await redis.restart()
    expect(redis.port).toBe(port)
    expect(await redis.command('GET a')).toBe('$-1\r\n')
  })
})
