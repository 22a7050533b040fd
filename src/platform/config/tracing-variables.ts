import { z } from 'zod'

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

/**
 * OpenTelemetry's own variables, as far as they decide whether and how spans are sent. What concerns the connection alone (headers,
 * certificates, compression, timeouts) is read by OpenTelemetry's exporter, and so are the resource's attributes.
 */
export const tracingVariables = {
  OTEL_SDK_DISABLED: z.enum(['true', 'false']).default('false'),
  OTEL_TRACES_EXPORTER: z.enum(['otlp', 'none'], 'must be otlp or none').optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint(),
  OTEL_EXPORTER_OTLP_PROTOCOL: protocol(),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: protocol(),
  OTEL_SERVICE_NAME: z.string().max(255).default('millrace'),
  OTEL_TRACES_SAMPLER: z.enum(SAMPLERS, `must be one of ${SAMPLERS.join(', ')}`).default('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: z
    .string()
    .transform(Number)
    .refine((ratio) => ratio >= 0 && ratio <= 1, 'must be a number from 0 to 1')
    .default(1),
  OTEL_BSP_SCHEDULE_DELAY: milliseconds().default(5_000).describe('between two exports'),
}

export type TracingVariables = z.infer<z.ZodObject<typeof tracingVariables>>

/** How spans are sent. */
export interface TracingSettings {
  /** Of the traces, as OTLP/HTTP wants it. */
  readonly url: string
  readonly protocol: 'http/protobuf' | 'http/json'
  readonly serviceName: string
  readonly sampler: (typeof SAMPLERS)[number]
  /** The share of traces that the `traceidratio` samplers keep. */
  readonly ratio: number
  readonly delayMs: number
}

/** Undefined: no spans. They are sent once an address is given or `otlp` is asked for, as OpenTelemetry's specification has it. */
export function tracingSettings(set: TracingVariables): TracingSettings | undefined {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: own } = set
  const exporter = set.OTEL_TRACES_EXPORTER ?? (base || own ? 'otlp' : 'none')
  if (set.OTEL_SDK_DISABLED === 'true' || exporter === 'none') return undefined
  return Object.freeze({
    url: own ?? `${(base ?? 'http://localhost:4318').replace(/\/$/, '')}/v1/traces`,
    protocol: set.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? set.OTEL_EXPORTER_OTLP_PROTOCOL ?? 'http/protobuf',
    serviceName: set.OTEL_SERVICE_NAME,
    sampler: set.OTEL_TRACES_SAMPLER,
    ratio: set.OTEL_TRACES_SAMPLER_ARG,
    delayMs: set.OTEL_BSP_SCHEDULE_DELAY,
  })
}

function endpoint() {
  return z.url({ protocol: /^https?$/, error: 'must be an address that starts with http:// or https://' }).optional()
}

function protocol() {
  return z.enum(['http/protobuf', 'http/json'], 'must be http/protobuf or http/json').optional()
}

function milliseconds() {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number of milliseconds')
    .transform(Number)
}
