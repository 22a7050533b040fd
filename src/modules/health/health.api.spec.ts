import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import { version } from '../../platform/version.js'

let api: ApiUnderTest

beforeAll(async () => {
  api = await apiUnderTest()
})

afterAll(() => api.close())

it('answers as FacilFlow documents it', async () => {
  const { body } = await api.get('/api/health').expect(200)
  expect(body).toEqual({ status: 'healthy', version, uptime: expect.any(Number) })
  expect(body.uptime).toSatisfy(Number.isInteger)
})

it('answers as flwd documents it', async () => {
  const { body } = await api.get('/api/v1/health').expect(200)
  expect(body).toEqual({ status: 'healthy', version, uptime_seconds: expect.any(Number) })
  expect(body.uptime_seconds).toSatisfy(Number.isInteger)
  // The reference's example, but for what is this instance's own.
  const shown = { status: 'healthy', version: '1.0.0', uptime_seconds: 3600 }
  expect({ ...body, version: '1.0.0', uptime_seconds: 3600 }).toEqual(shown)
})

it('says that it is not available, in the words of each, once the database is gone', async () => {
  await api.dropDatabase()
  const facilflow = await api.get('/api/health').expect(503)
  expect(facilflow.body).toMatchObject({
    type: '/problems/unavailable',
    status: 503,
    error: 'UNAVAILABLE',
    statusCode: 503,
  })
  expect(facilflow.headers['retry-after']).toBe('5')
  const flwd = await api.get('/api/v1/health').expect(503)
  expect(flwd.body).toMatchObject({ type: '/problems/unavailable', status: 503 })
  expect(JSON.stringify([facilflow.body, flwd.body])).not.toMatch(/database|postgres|terminat/i)
})
