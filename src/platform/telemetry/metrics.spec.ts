import { Logger } from '@nestjs/common'
import { describe, expect, it } from 'vitest'
import { Metrics } from './metrics.js'

Logger.overrideLogger(false)

/** The lines about one family. */
async function lines(metrics: Metrics, name: string, accept?: string): Promise<string[]> {
  const { text } = await metrics.exposition(accept)
  return text.split('\n').filter((line) => line.startsWith(name) || line.startsWith(`# TYPE ${name}`))
}

const OPEN = 'application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'

describe('metrics', () => {
  it('counts by label', async () => {
    const metrics = new Metrics()
    const family = metrics.counts({ name: 'things_total', help: 'Things.', labels: ['kind'] })
    const small = family.with('small')
    small.add()
    small.add(2)
    family.with('large').add()
    expect(family.with('small')).toBe(small)
    expect(await lines(metrics, 'things_total')).toEqual([
      '# TYPE things_total counter',
      'things_total{kind="small"} 3',
      'things_total{kind="large"} 1',
    ])
  })

  it('sorts observations into cumulative buckets, each up to and including its bound', async () => {
    const metrics = new Metrics()
    const distribution = metrics.distribution({ name: 'wait_seconds', help: 'Waits.' }, [0.1, 1])
    for (const seconds of [0.05, 0.1, 0.5, 7]) distribution.observe(seconds)
    expect(await lines(metrics, 'wait_seconds')).toEqual([
      '# TYPE wait_seconds histogram',
      'wait_seconds_bucket{le="0.1"} 2',
      'wait_seconds_bucket{le="1"} 3',
      'wait_seconds_bucket{le="+Inf"} 4',
      'wait_seconds_sum 7.65',
      'wait_seconds_count 4',
    ])
  })

  it('looks gauges up when it is asked, and goes on where one fails', async () => {
    const metrics = new Metrics()
    let depth = 1
    metrics.gauge({ name: 'depth', help: 'Depth.' }, () => depth)
    metrics.asked({ name: 'states', help: 'States.' }, async () => [{ value: 4, labels: { state: 'held' } }])
    metrics.gauge({ name: 'nothing_now', help: 'Nothing.' }, () => undefined)
    metrics.asked({ name: 'away', help: 'Fails.' }, () => Promise.reject(new Error('the database is away')))
    metrics.counted({ name: 'elsewhere_total', help: 'Counted elsewhere.' }, () => 9)
    depth = 2
    expect(await lines(metrics, 'depth')).toContain('depth 2')
    expect(await lines(metrics, 'states')).toContain('states{state="held"} 4')
    expect(await lines(metrics, 'nothing_now')).toEqual(['# TYPE nothing_now gauge'])
    expect(await lines(metrics, 'away')).toEqual(['# TYPE away gauge'])
    expect(await lines(metrics, 'elsewhere_total')).toEqual(['# TYPE elsewhere_total counter', 'elsewhere_total 9'])
  })

  it('speaks OpenMetrics to who prefers it, and plain text to the next', async () => {
    const metrics = new Metrics()
    metrics.count({ name: 'things_total', help: 'Things.' }).add()
    const open = await metrics.exposition(OPEN)
    expect(open.contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect(open.text).toMatch(/# TYPE things counter\nthings_total 1\n/)
    expect(open.text).toMatch(/\n# EOF\n$/)
    const plain = await metrics.exposition('text/plain')
    expect(plain.contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(plain.text).toMatch(/# TYPE things_total counter\nthings_total 1\n/)
    expect(plain.text).not.toContain('# EOF')
    for (const accept of ['', '*/*', 'text/html', 'application/openmetrics-text;q=0, text/plain'])
      expect((await metrics.exposition(accept)).contentType).toMatch(/^text\/plain/)
  })

  it('shows the process: event loop, heap, garbage collection', async () => {
    const { text } = await new Metrics().exposition()
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds \d/m)
    expect(text).toMatch(/^nodejs_heap_size_used_bytes \d/m)
    expect(text).toMatch(/^process_cpu_seconds_total \d/m)
  })

  it('keeps a bounded number of children', async () => {
    const metrics = new Metrics()
    const family = metrics.counts({ name: 'routes_total', help: 'Routes.', labels: ['route'] })
    for (let index = 0; index < 3_000; index++) family.with(`/r/${index}`).add()
    const found = await lines(metrics, 'routes_total')
    expect(found.length).toBeLessThan(1_010)
    expect(found).toContain('routes_total{route="other"} 2000')
  })

  it('refuses a name that is taken', () => {
    const metrics = new Metrics()
    metrics.count({ name: 'things_total', help: 'Things.' })
    expect(() => metrics.gauge({ name: 'things_total', help: 'Things.' }, () => 1)).toThrow('things_total')
  })
})
