import { afterEach, describe, expect, it } from 'vitest'
import { Metrics } from './metrics.js'
import { MetricsListener, type MetricsListenerOptions } from './metrics-listener.js'

const TOKEN = 'a-token-for-prometheus'

const open: MetricsListener[] = []
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close()
})

async function listening(options: Partial<MetricsListenerOptions> = {}): Promise<string> {
  const metrics = new Metrics()
  metrics.gauge({ name: 'answer', help: 'Answer.' }, () => 42)
  const listener = new MetricsListener({ metrics, healthy: async () => true, ...options })
  open.push(listener)
  const { port } = await listener.listen(0, '127.0.0.1')
  return `http://127.0.0.1:${port}`
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

describe('the listener of a process without HTTP', () => {
  it('answers /metrics, in the format that is preferred', async () => {
    const url = await listening()
    const plain = await fetch(`${url}/metrics`)
    expect(plain.status).toBe(200)
    expect(plain.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(await plain.text()).toMatch(/^answer 42$/m)
    const open = await fetch(`${url}/metrics`, { headers: { accept: 'application/openmetrics-text' } })
    expect(await open.text()).toMatch(/# EOF\n$/)
  })

  it('answers who carries the token, and nobody else', async () => {
    const url = await listening({ token: TOKEN })
    expect((await fetch(`${url}/metrics`, bearer(TOKEN))).status).toBe(200)
    for (const wrong of [undefined, bearer('another-token-of-some'), bearer(`${TOKEN} `.repeat(2))]) {
      const refused = await fetch(`${url}/metrics`, wrong)
      expect(refused.status).toBe(401)
      expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="millrace"')
      expect(await refused.text()).toBe('unauthorized')
    }
  })

  it('says whether the process can do its work', async () => {
    let well = true
    const url = await listening({ token: TOKEN, healthy: async () => well })
    expect((await fetch(`${url}/health`)).status).toBe(200)
    well = false
    expect((await fetch(`${url}/health`)).status).toBe(503)
  })

  it('has nothing else', async () => {
    const url = await listening()
    expect((await fetch(`${url}/`)).status).toBe(404)
    expect((await fetch(`${url}/api/v1/flows`)).status).toBe(404)
    const posted = await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    const head = await fetch(`${url}/metrics`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('answers 500 when a check breaks, and goes on', async () => {
    const url = await listening({ healthy: () => Promise.reject(new Error('10.1.2.3 is down')) })
    const broken = await fetch(`${url}/health`)
    expect([broken.status, await broken.text()]).toEqual([500, 'error'])
    expect((await fetch(`${url}/metrics`)).status).toBe(200)
  })

  it('says when its port is taken', async () => {
    const url = await listening()
    const second = new MetricsListener({ metrics: new Metrics(), healthy: async () => true })
    await expect(second.listen(Number(new URL(url).port), '127.0.0.1')).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})
