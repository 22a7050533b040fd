import { type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { Request, RequestHandler, Response } from 'express'
import type { Distribution, DistributionFamily } from './instruments.js'
import type { Metrics } from './metrics.js'
import type { Tracing } from './tracing.js'

/** Requests whose path is nowhere, and those that were refused before it was looked up. */
const NO_ROUTE = 'none'

/** What is known of a request beside its answer, on `response.locals`. */
export interface RequestLocals {
  /** The template of the route, such as `/api/v1/flows/{id}`. */
  route?: string
  /** The request's span, where tracing is on. */
  span?: Span
}

/** Measures every request, and begins its span below the caller's. Comes first of all. */
export class RequestTelemetry {
  private readonly durations: DistributionFamily
  private readonly known = new Map<string, Distribution>()
  private underWay = 0

  constructor(
    metrics: Metrics,
    private readonly tracing: Tracing,
  ) {
    this.durations = metrics.distributions({
      name: 'http_server_request_duration_seconds',
      help: 'From the first byte of a request to the end of its answer, by the template of its route.',
      labels: ['method', 'route', 'status'],
    })
    metrics.gauge(
      { name: 'http_server_active_requests', help: 'Requests whose answer has not ended, streams included.' },
      () => this.underWay,
    )
  }

  readonly handler: RequestHandler = (request, response: Response<unknown, RequestLocals>, next) => {
    const start = performance.now()
    this.underWay++
    if (this.tracing.on) response.locals.span = this.begin(request)
    response.once('close', () => {
      this.underWay--
      const { route = NO_ROUTE, span } = response.locals
      // 499, as proxies log it: the caller hung up before there was an answer.
      const status = response.writableFinished ? response.statusCode : 499
      this.duration(request.method, route, status).observe((performance.now() - start) / 1000)
      if (span) end(span, request.method, route, status)
    })
    next()
  }

  private duration(method: string, route: string, status: number): Distribution {
    const key = `${method} ${status} ${route}`
    const known = this.known.get(key)
    if (known) return known
    // Methods outside the usual ones come from callers at will, and reach no route.
    const distribution = this.durations.with(METHODS.has(method) ? method : 'other', route, String(status))
    if (METHODS.has(method)) this.known.set(key, distribution)
    return distribution
  }

  private begin(request: Request): Span | undefined {
    const [path] = request.originalUrl.split('?')
    return this.tracing.begin(
      request.method,
      { kind: SpanKind.SERVER, attributes: { 'http.request.method': request.method, 'url.path': path } },
      this.tracing.extract(request.headers),
    )
  }
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function end(span: Span, method: string, route: string, status: number): void {
  if (route !== NO_ROUTE) {
    span.updateName(`${method} ${route}`)
    span.setAttribute('http.route', route)
  }
  span.setAttribute('http.response.status_code', status)
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}
