import { randomUUID } from 'node:crypto'
import { Logger } from '@nestjs/common'
import { DiagLogLevel, defaultTextMapGetter, defaultTextMapSetter, diag, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { detectResources, resourceAttributesEnvDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { TracingSettings } from '../config/tracing-variables.js'
import { version } from '../version.js'
import type { SpanSink } from './tracing.js'

/*
 * Spans to an OpenTelemetry collector by OTLP over HTTP. This file and what it imports are loaded only where tracing is on: they take
 * some 20 MB and a tenth of a second.
 */

const SCOPE = 'millrace'
/** What a collector that is away did not take by then is lost: it must not keep the process from ending. */
const CLOSE_WITHIN_MS = 2_000

export async function otlpSink(settings: TracingSettings): Promise<SpanSink> {
  const logger = new Logger('Tracing')
  const say = (message: string) => logger.warn(message)
  diag.setLogger(
    { error: say, warn: say, info: () => {}, debug: () => {}, verbose: () => {} },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  const provider = new TracerProvider({
    resource: detectResources({ detectors: [resourceAttributesEnvDetector] }).merge(
      resourceFromAttributes({
        'service.name': settings.serviceName,
        'service.version': version,
        'service.instance.id': randomUUID(),
        'process.pid': process.pid,
      }),
    ),
    sampler: samplerFor(settings),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: await exporterTo(settings),
        scheduledDelayMillis: settings.delayMs,
        maxQueueSize: 8_192,
      }),
    ],
  })
  const propagator = new W3CTraceContextPropagator()
  return {
    tracer: provider.getTracer(SCOPE, version),
    extract: (headers) => trace.getSpanContext(propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)),
    inject: (span) => {
      const headers: Record<string, string> = {}
      propagator.inject(trace.setSpanContext(ROOT_CONTEXT, span), headers, defaultTextMapSetter)
      return headers
    },
    close: async () => {
      const late = new Promise((_, reject) => {
        setTimeout(reject, CLOSE_WITHIN_MS, new Error('the collector takes too long')).unref()
      })
      await Promise.race([provider.shutdown(), late]).catch((error: Error) =>
        say(`the last spans were not sent: ${error.message}`),
      )
    },
  }
}

async function exporterTo({ protocol, url }: TracingSettings): Promise<SpanExporter> {
  const { OTLPTraceExporter } =
    protocol === 'http/json'
      ? await import('@opentelemetry/exporter-trace-otlp-http')
      : await import('@opentelemetry/exporter-trace-otlp-proto')
  return new OTLPTraceExporter({ url })
}

function samplerFor({ sampler, ratio }: TracingSettings): Sampler {
  const root = rootSampler(sampler, ratio)
  return sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}

function rootSampler(sampler: TracingSettings['sampler'], ratio: number): Sampler {
  if (sampler.endsWith('always_on')) return new AlwaysOnSampler()
  if (sampler.endsWith('always_off')) return new AlwaysOffSampler()
  return new TraceIdRatioBasedSampler(ratio)
}
