import type { Tracer } from '@opentelemetry/api'
import { type Context, ROOT_CONTEXT, type Span, type SpanContext, type SpanOptions, trace } from '@opentelemetry/api'

/** Headers of an HTTP request, by their names in lower case. */
type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Where spans go, and how a trace crosses HTTP. */
export interface SpanSink {
  readonly tracer: Tracer
  /** The span that a caller names in its headers. */
  extract(headers: Headers): SpanContext | undefined
  /** The headers that name a span to a server. */
  inject(span: SpanContext): Record<string, string>
  /** Sends what is left. */
  close(): Promise<void>
}

/**
 * The traces of this process, where the operator wants some. Parents are handed on by hand: nothing is looked up in the surroundings,
 * so that where tracing is off it costs one comparison. Spans may name ids; they hold no inputs, outputs, secrets or queries.
 */
export class Tracing {
  constructor(private readonly sink?: SpanSink) {}

  get on(): boolean {
    return this.sink !== undefined
  }

  /** Begins a span below `parent`, else a trace. Undefined where tracing is off. */
  begin(name: string, options: SpanOptions, parent?: SpanContext): Span | undefined {
    return this.sink?.tracer.startSpan(name, options, below(parent))
  }

  extract(headers: Headers): SpanContext | undefined {
    return this.sink?.extract(headers)
  }

  inject(span: SpanContext): Record<string, string> | undefined {
    return this.sink?.inject(span)
  }

  async close(): Promise<void> {
    await this.sink?.close()
  }
}

function below(parent: SpanContext | undefined): Context {
  return parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT
}
