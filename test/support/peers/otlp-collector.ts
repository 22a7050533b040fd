import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { type Field, fields } from './protobuf.js'

/** A span as it arrived, whichever encoding it came in. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  /** Empty for the root of a trace. */
  parentSpanId: string
  name: string
  /** As OTLP counts them: 1 internal, 2 server, 3 client. */
  kind: number
  startNs: bigint
  endNs: bigint
  attributes: Record<string, string | number | boolean>
  /** As OTLP counts them: 0 unset, 1 ok, 2 error. */
  status: number
  /** Of the resource that it came from. */
  resource: Record<string, string | number | boolean>
}

/**
 * An OpenTelemetry collector, as far as traces by OTLP over HTTP go: `POST /v1/traces` in protobuf or JSON, plain or gzipped. What is
 * not as the protocol says is answered with 400 or 415 and kept in `faults`.
 */
export class OtlpCollector {
  readonly spans: ReceivedSpan[] = []
  readonly faults: string[] = []
  readonly contentTypes = new Set<string>()
  requests = 0

  private constructor(private readonly server: Server) {}

  static async start(): Promise<OtlpCollector> {
    const server = createServer()
    const collector = new OtlpCollector(server)
    server.on('request', (request, response) => void collector.receive(request, response))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return collector
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }

  private async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const sent = Buffer.concat(chunks)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent
    const type = String(request.headers['content-type'])
    this.contentTypes.add(type)
    try {
      if (request.method !== 'POST' || request.url !== '/v1/traces') throw new Error(`${request.method} ${request.url}`)
      const read = { 'application/json': fromJson, 'application/x-protobuf': fromProtobuf }[type]
      if (!read) return void response.writeHead(415).end()
      const spans = read(body)
      for (const span of spans) this.faults.push(...faultsOf(span))
      this.spans.push(...spans)
      response.writeHead(200, { 'content-type': type }).end(type === 'application/json' ? '{}' : undefined)
    } catch (error) {
      this.faults.push(String(error))
      response.writeHead(400).end()
    }
  }
}

function faultsOf({ name, traceId, spanId, parentSpanId, startNs, endNs }: ReceivedSpan): string[] {
  const right =
    /^[0-9a-f]{32}$/.test(traceId) && /^[0-9a-f]{16}$/.test(spanId) && /^([0-9a-f]{16})?$/.test(parentSpanId)
  return [
    ...(right ? [] : [`the ids of ${name}: ${traceId} ${spanId} ${parentSpanId}`]),
    ...(startNs > 0n && endNs >= startNs ? [] : [`${name} ends before it begins`]),
    ...(name === '' ? ['a span without a name'] : []),
  ]
}

interface JsonAttribute {
  key: string
  value: { stringValue?: string; intValue?: string | number; doubleValue?: number; boolValue?: boolean }
}

interface JsonSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes?: JsonAttribute[]
  status?: { code?: number }
}

/** The JSON mapping of the protocol: ids in hexadecimal, 64-bit numbers as text. */
function fromJson(body: Buffer): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(body.toString()) as {
    resourceSpans: { resource: { attributes: JsonAttribute[] }; scopeSpans: { spans: JsonSpan[] }[] }[]
  }
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        name: span.name,
        kind: span.kind,
        startNs: BigInt(span.startTimeUnixNano),
        endNs: BigInt(span.endTimeUnixNano),
        attributes: attributesOf(span.attributes),
        status: span.status?.code ?? 0,
        resource: attributesOf(resource.attributes),
      })),
  )
}

function attributesOf(given: JsonAttribute[] = []) {
  return Object.fromEntries(
    given.map(({ key, value: { stringValue, intValue, doubleValue, boolValue } }) => [
      key,
      stringValue ?? boolValue ?? Number(intValue ?? doubleValue),
    ]),
  )
}

/** By the field numbers of opentelemetry/proto/trace/v1/trace.proto. */
function fromProtobuf(body: Buffer): ReceivedSpan[] {
  return messages(fields(body), 1).flatMap((resourceSpans) => {
    const resource = wireAttributes(messages(resourceSpans, 1).flatMap((of) => messages(of, 1)))
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => ({
        traceId: bytes(span, 1).toString('hex'),
        spanId: bytes(span, 2).toString('hex'),
        parentSpanId: bytes(span, 4).toString('hex'),
        name: bytes(span, 5).toString(),
        kind: Number(number(span, 6)),
        startNs: number(span, 7),
        endNs: number(span, 8),
        attributes: wireAttributes(messages(span, 9)),
        status: Number(number(messages(span, 15)[0] ?? [], 3)),
        resource,
      }))
  })
}

function wireAttributes(pairs: Field[][]) {
  return Object.fromEntries(
    pairs.map((pair) => {
      const value = messages(pair, 2)[0]?.[0]
      return [bytes(pair, 1).toString(), value === undefined ? '' : anyValue(value)]
    }),
  )
}

function anyValue({ number: kind, value }: Field): string | number | boolean {
  if (kind === 1) return (value as Buffer).toString()
  if (kind === 2) return value === 1n
  if (kind === 3) return Number(value)
  if (kind === 4) return Buffer.from(new BigUint64Array([value as bigint]).buffer).readDoubleLE()
  throw new Error(`an attribute of kind ${kind}`)
}

function messages(of: Field[], which: number): Field[][] {
  return of.filter((field) => field.number === which).map(({ value }) => fields(value as Buffer))
}

function bytes(of: Field[], which: number): Buffer {
  return (of.find((field) => field.number === which)?.value as Buffer | undefined) ?? Buffer.alloc(0)
}

function number(of: Field[], which: number): bigint {
  return (of.find((field) => field.number === which)?.value as bigint | undefined) ?? 0n
}
