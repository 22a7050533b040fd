import { describe, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'

describe('tracing', () => {
  it('is off unless it is asked for', () => {
    expect(testConfig().tracing).toBeUndefined()
    expect(testConfig({ OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'always_on' }).tracing).toBeUndefined()
  })

  it('is on with an address, or with the exporter alone', () => {
    expect(testConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' }).tracing).toEqual({
      url: 'http://collector:4318/v1/traces',
      protocol: 'http/protobuf',
      serviceName: 'millrace',
      sampler: 'parentbased_always_on',
      ratio: 1,
      delayMs: 5_000,
    })
    expect(testConfig({ OTEL_TRACES_EXPORTER: 'otlp' }).tracing).toMatchObject({
      url: 'http://localhost:4318/v1/traces',
    })
  })

  it('takes what is said of traces before what is said of everything', () => {
    const { tracing } = testConfig({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://all:4318',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example/in',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.25',
    })
    expect(tracing).toMatchObject({
      url: 'https://traces.example/in',
      protocol: 'http/json',
      sampler: 'traceidratio',
      ratio: 0.25,
    })
  })

  it('can be switched off again', () => {
    const OTEL_EXPORTER_OTLP_ENDPOINT = 'http://collector:4318'
    expect(testConfig({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SDK_DISABLED: 'true' }).tracing).toBeUndefined()
    expect(testConfig({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }).tracing).toBeUndefined()
  })

  it.each([
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_TRACES_SAMPLER_ARG', '2'],
    ['METRICS_TOKEN', 'short'],
    ['METRICS_TOKEN', 'has blanks in between it all'],
  ])('says what is wrong with %s=%s', (name, value) => {
    expect(() => testConfig({ [name]: value })).toThrow(name)
  })

  it('does not show what is secret', () => {
    const config = testConfig({
      METRICS_TOKEN: 'a-token-for-prometheus',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:pass-word@collector:4318',
    })
    expect(JSON.stringify(config)).not.toMatch(/a-token-for|pass-word/)
  })
})
