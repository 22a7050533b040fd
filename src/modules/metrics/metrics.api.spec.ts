import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'

const TOKEN = 'a-token-for-prometheus'
const OPEN = 'application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'

let api: ApiUnderTest

beforeAll(async () => {
  api = await apiUnderTest({ METRICS_TOKEN: TOKEN, RATE_LIMIT: '40' })
})

afterAll(() => api.close())

const scrape = () => api.get('/metrics').set('Authorization', `Bearer ${TOKEN}`)

/** The value of the first sample that begins with `start`. */
function sample(text: string, start: string): number {
  const line = text.split('\n').find((one) => one.startsWith(start))
  return Number(line?.slice(line.lastIndexOf(' ')))
}

describe('GET /metrics', () => {
  it('answers admins, and the machine that carries the token', async () => {
    const { headers, text } = await scrape().expect(200)
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toMatch(/^millrace_build_info\{version="[^"]+"\} 1$/m)
    await api
      .get('/metrics')
      .set('Authorization', await api.asAdmin())
      .expect(200)
  })

  it('tells who they are to nobody else', async () => {
    const refused = await api.get('/metrics').expect(401)
    expect(refused.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(refused.headers['www-authenticate']).toMatch(/^Bearer/)
    await api.get('/metrics').set('Authorization', `Bearer ${TOKEN}x`).expect(401)
    const user = await api
      .post('/api/v1/accounts')
      .set('Authorization', await api.asAdmin())
      .send({ email: 'user@example.com', name: 'User', password: 'correct horse battery', role: 'user' })
    expect(user.status).toBe(201)
    const token = await api.login('user@example.com', 'correct horse battery')
    const forbidden = await api.get('/metrics').set('Authorization', `Bearer ${token}`).expect(403)
    expect(forbidden.body ?? JSON.parse(forbidden.text)).toMatchObject({ status: 403 })
    await api.get('/api/v1/accounts').set('Authorization', `Bearer ${TOKEN}`).expect(401)
  })

  it('speaks OpenMetrics to who prefers it', async () => {
    const { headers, text } = await scrape().set('Accept', OPEN).expect(200)
    expect(headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect(text).toMatch(/# EOF\n$/)
  })

  it('does not count scrapes with the token against anybody', async () => {
    for (let round = 0; round < 50; round++) await scrape().expect(200)
    const { headers } = await scrape()
    expect(headers).not.toHaveProperty('x-ratelimit-remaining')
  })

  it('measures requests by the template of their route, whatever was asked for', async () => {
    const authorization = await api.asAdmin()
    for (const id of ['flow_1', 'flow_2', 'a%20b'])
      await api.get(`/api/v1/flows/${id}`).set('Authorization', authorization).expect(404)
    await api.get('/nowhere/at-all-42').expect(404)
    await api.get('/api/health').expect(200)
    const { text } = await scrape()
    const count = (labels: string) => sample(text, `http_server_request_duration_seconds_count{${labels}}`)
    expect(count('method="GET",route="/api/v1/flows/{id}",status="404"')).toBe(3)
    expect(count('method="GET",route="/api/health",status="200"')).toBe(1)
    expect(count('method="GET",route="none",status="404"')).toBe(1)
    expect(text).not.toMatch(/flow_1|at-all-42/)
    expect(sample(text, 'http_server_active_requests')).toBe(1)
  })

  it('shows the pools of database connections', async () => {
    const { text } = await scrape()
    for (const pool of ['sql', 'entities']) {
      for (const state of ['used', 'idle'])
        expect(
          sample(text, `millrace_database_pool_connections{pool="${pool}",state="${state}"}`),
        ).toBeGreaterThanOrEqual(0)
      expect(sample(text, `millrace_database_pool_waiting{pool="${pool}"}`)).toBe(0)
    }
    expect(sample(text, 'millrace_database_up')).toBe(1)
  })

  it('goes on without the database, and says that it is away', async () => {
    await api.dropDatabase()
    const { text } = await scrape().expect(200)
    expect(sample(text, 'millrace_database_up')).toBe(0)
  })
})
