import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/platform/clock/clock.js'
import { RateCounter } from '../../src/platform/rates/rate-counter.js'
import { type ApiUnderTest, apiUnderTest } from '../support/api.js'
import { send } from './requests.js'

/** What every operation answers when it is not to blame. */

describe('every operation', () => {
  let api: ApiUnderTest

  beforeAll(async () => {
    api = await apiUnderTest()
  })

  afterAll(() => api.close())

  it('answers 500 when something breaks, and does not say what', async () => {
    const authorization = await api.asAdmin()
    const counter = api.app.get(RateCounter)
    const { hit } = counter
    counter.hit = () => Promise.reject(new Error('the disk at 10.1.2.3 is full'))
    for (const published of api.spec.operations) {
      const { text } = await send(api, published, { authorization }).expect(500)
      expect(text).not.toMatch(/disk|10\.1\.2\.3/)
    }
    counter.hit = hit
  })

  it('answers 403 to an API key that is for MCP channels only', async () => {
    const authorization = await api.asAdmin()
    const key = await api
      .post('/api/auth/api-keys')
      .set('Authorization', authorization)
      .send({ name: 'MCP', scopes: ['mcp'] })
      .expect(201)
    for (const published of api.spec.operations.filter(({ operation }) => operation.security?.length)) {
      await send(api, published, { authorization: `Bearer ${key.body.token}` }).expect(403)
    }
  })

  it('answers 503 once the database is gone', async () => {
    const authorization = await api.asAdmin()
    await api.dropDatabase()
    for (const published of api.spec.operations) {
      const { headers, text } = await send(api, published, { authorization }).expect(503)
      expect(headers['retry-after'], published.operation.operationId).toBeTruthy()
      expect(text).not.toMatch(/millrace_test|terminat|ECONN/)
    }
  })
})

it('every operation answers 429 to who asked too often', async () => {
  const api = await apiUnderTest({ RATE_LIMIT: '1' })
  // No request falls on the turn of a minute, when counts begin anew.
  const clock = vi.spyOn(systemClock, 'now').mockReturnValue(new Date())
  try {
    await api.get('/api/nothing')
    for (const published of api.spec.operations) {
      const { headers } = await send(api, published, {}).expect(429)
      expect(headers['x-ratelimit-remaining'], published.operation.operationId).toBe('0')
    }
  } finally {
    clock.mockRestore()
    await api.close()
  }
})
