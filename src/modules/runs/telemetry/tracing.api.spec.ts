import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { OtlpCollector, type ReceivedSpan } from '../../../../test/support/peers/otlp-collector.js'
import { LocalServer } from '../../../platform/outbound/local-server.fake.js'

const CALLER = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' }

let server: LocalServer

beforeAll(async () => {
  server = await LocalServer.start((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"answer":"an-output-nobody-traces"}')
  })
})

afterAll(() => server.stop())

const FLOW = {
  first: { type: 'transform', params: { script: 'return { page: input.page }' }, next: { default: 'call' } },
  call: { type: 'http.request', params: { url: '${input.page}' } },
}

/** Runs the flow as a caller that is being traced. */
async function run(user: FlowRunnerUser): Promise<string> {
  const flow = await user.flow(FLOW)
  const { body } = await user
    .post(`/api/v1/flows/${flow}/run`, { input: { page: `${server.origin}/data?token=hush-hush` } })
    .set('traceparent', `00-${CALLER.traceId}-${CALLER.spanId}-01`)
    .set('tracestate', 'vendor=1')
    .expect(201)
  await user.ended(body.execution_id)
  return body.execution_id
}

describe.each(['http/protobuf', 'http/json'])('spans by %s', (protocol) => {
  let collector: OtlpCollector
  let api: ApiUnderTest
  let user: FlowRunnerUser
  let id: string

  beforeAll(async () => {
    collector = await OtlpCollector.start()
    api = await apiUnderTest({
      OUTBOUND_ALLOW: '127.0.0.1',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_SERVICE_NAME: 'millrace-under-test',
      OTEL_BSP_SCHEDULE_DELAY: '20',
    })
    user = await FlowRunnerUser.login(api)
    id = await run(user)
  })

  afterAll(async () => {
    await api.close()
    await collector.stop()
  })

  const span = (matches: (span: ReceivedSpan) => boolean) =>
    vi.waitFor(
      () => {
        const found = collector.spans.find(matches)
        if (!found) throw new Error(`no such span among ${collector.spans.map(({ name }) => name)}`)
        return found
      },
      { timeout: 10_000, interval: 20 },
    )
  const ofRun = (name: string) => span((one) => one.name === name && one.traceId === CALLER.traceId)

  it('lead from the caller over the request and the run to each step', async () => {
    const request = await span(({ name }) => name === 'POST /api/v1/flows/{id}/run')
    expect(request).toMatchObject({
      traceId: CALLER.traceId,
      parentSpanId: CALLER.spanId,
      kind: 2,
      attributes: { 'http.route': '/api/v1/flows/{id}/run', 'http.response.status_code': 201 },
    })
    const whole = await ofRun('run')
    expect(whole).toMatchObject({
      parentSpanId: request.spanId,
      attributes: { 'millrace.run.id': id, 'millrace.account.id': user.accountId, 'millrace.run.state': 'completed' },
    })
    expect(await ofRun('step transform')).toMatchObject({
      parentSpanId: whole.spanId,
      attributes: { 'millrace.step.path': 'first', 'millrace.step.attempt': 1, 'millrace.step.state': 'succeeded' },
    })
    const call = await ofRun('step http.request')
    expect(call).toMatchObject({ parentSpanId: whole.spanId, kind: 3 })
    expect(whole.startNs <= call.startNs && call.endNs <= whole.endNs).toBe(true)
  })

  it('are named to the servers that steps call', async () => {
    const call = await ofRun('step http.request')
    const { headers } = server.requests.at(-1) ?? {}
    expect(headers?.traceparent).toBe(`00-${CALLER.traceId}-${call.spanId}-01`)
    expect(headers?.tracestate).toBe('vendor=1')
  })

  it('follow a run over its waits and into the runs below it', async () => {
    const below = await user.flow({ only: { type: 'wait', params: { key: 'go' } } })
    const flow = await user.flow({ call: { type: 'flow.run', params: { flow_id: below } } })
    const traceId = 'c'.repeat(32)
    const { body } = await user
      .post(`/api/v1/flows/${flow}/run`, {})
      .set('traceparent', `00-${traceId}-${CALLER.spanId}-01`)
      .expect(201)
    const segments = (flowId: string, count: number) =>
      vi.waitFor(
        () => {
          const found = collector.spans.filter(
            (one) => one.traceId === traceId && one.attributes['millrace.flow.id'] === flowId,
          )
          expect(found).toHaveLength(count)
          return found
        },
        { timeout: 10_000, interval: 20 },
      )
    const [first] = await segments(flow, 1)
    expect(first?.attributes['millrace.run.state']).toBe('parked')
    await segments(below, 1)
    await user.post('/api/v1/signals/go', { data: null })
    await user.ended(body.execution_id)
    const parents = await segments(flow, 2)
    const children = await segments(below, 2)
    expect(parents.map(({ attributes }) => attributes['millrace.run.state'])).toEqual(['parked', 'completed'])
    expect(new Set(parents.map(({ parentSpanId }) => parentSpanId)).size).toBe(1)
    expect(children.map(({ parentSpanId }) => parentSpanId)).toEqual([first?.spanId, first?.spanId])
  })

  it('tell of each flush of the journal', async () => {
    const flush = await span(({ name }) => name === 'journal flush')
    expect(flush.attributes['millrace.journal.records']).toBeGreaterThanOrEqual(1)
    expect(flush.parentSpanId).toBe('')
  })

  it('begin a trace of their own for who sends none', async () => {
    const own = await span(({ name }) => name === 'POST /api/v1/auth/login')
    expect(own.parentSpanId).toBe('')
    expect(own.traceId).not.toBe(CALLER.traceId)
  })

  it('hold neither queries nor what came out of steps', async () => {
    await ofRun('run')
    const told = JSON.stringify(collector.spans, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    expect(told).not.toMatch(/hush-hush|an-output-nobody/)
  })

  it('come as OTLP over HTTP wants it, from the service that was named', () => {
    expect(collector.faults).toEqual([])
    expect([...collector.contentTypes]).toEqual([
      protocol === 'http/json' ? 'application/json' : 'application/x-protobuf',
    ])
    expect(collector.spans[0]?.resource).toMatchObject({
      'service.name': 'millrace-under-test',
      'service.version': expect.any(String),
    })
  })
})

describe('without OpenTelemetry’s variables', () => {
  it('nothing is traced, and no server is told of a trace', async () => {
    const collector = await OtlpCollector.start()
    const api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1', OTEL_SERVICE_NAME: 'only-a-name' })
    try {
      await run(await FlowRunnerUser.login(api))
      expect(server.requests.at(-1)?.headers).not.toHaveProperty('traceparent')
    } finally {
      await api.close()
      await collector.stop()
    }
    expect(collector.requests).toBe(0)
  })

  it('an exporter that is switched off is sent nothing', async () => {
    const collector = await OtlpCollector.start()
    const api = await apiUnderTest({
      OUTBOUND_ALLOW: '127.0.0.1',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_SDK_DISABLED: 'true',
    })
    try {
      await run(await FlowRunnerUser.login(api))
    } finally {
      await api.close()
      await collector.stop()
    }
    expect(collector.requests).toBe(0)
  })
})

it('what is left of the spans is sent when the program stops', async () => {
  const collector = await OtlpCollector.start()
  const api = await apiUnderTest({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_BSP_SCHEDULE_DELAY: '600000',
  })
  await api.get('/api/health').expect(200)
  expect(collector.requests).toBe(0)
  await api.close()
  expect(collector.spans.map(({ name }) => name)).toContain('GET /api/health')
  await collector.stop()
})

it('a collector that is away holds nothing up', async () => {
  const api = await apiUnderTest({
    OUTBOUND_ALLOW: '127.0.0.1',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_BSP_SCHEDULE_DELAY: '10',
  })
  const user = await FlowRunnerUser.login(api)
  await run(user)
  await api.close()
})
