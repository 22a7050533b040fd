import { type Attributes, type Span, type SpanContext, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { StepOutcome, TracedStep, TraceHeaders } from '../../../engine/host.js'
import type { Tracing } from '../../../platform/telemetry/tracing.js'
import type { TakenRun } from '../worker/taken-run.js'
import type { Rest } from './run-telemetry.js'

/**
 * The spans of one run's stay in this process: the run below the request that started it, and each attempt at a step below the run. Most
 * attempts are drawn when they are over; one that calls a server has to be named to it, so its span begins with the call.
 */
export class RunSpans {
  private readonly span: Span | undefined
  private readonly begun = new Map<string, Span>()

  constructor(
    private readonly tracing: Tracing,
    run: TakenRun,
    parent: SpanContext | undefined,
  ) {
    this.span = tracing.begin(
      'run',
      {
        attributes: {
          'millrace.run.id': run.id,
          'millrace.flow.id': run.flowId,
          'millrace.flow.revision': run.revision,
          'millrace.account.id': run.accountId,
          'millrace.run.resumed': run.history.length > 0,
        },
      },
      parent,
    )
  }

  get context(): SpanContext | undefined {
    return this.span?.spanContext()
  }

  settled(outcome: StepOutcome): void {
    const key = keyOf(outcome)
    const span = this.begun.get(key) ?? this.begin(outcome, SpanKind.INTERNAL)
    this.begun.delete(key)
    if (!span) return
    span.setAttribute('millrace.step.state', outcome.state)
    if (outcome.state !== 'succeeded') {
      span.setStatus({ code: SpanStatusCode.ERROR })
      // The message may quote what users sent; the code is a word of ours.
      if (outcome.error) span.setAttribute('error.type', outcome.error.code)
    }
    span.end(outcome.finishedAt)
  }

  headers(step: TracedStep): TraceHeaders | undefined {
    const key = keyOf(step)
    const span = this.begun.get(key) ?? this.begin(step, SpanKind.CLIENT)
    if (!span) return undefined
    this.begun.set(key, span)
    return this.tracing.inject(span.spanContext())
  }

  end(how: Rest): void {
    // Aborted on the way: they have no outcome.
    for (const span of this.begun.values()) span.end()
    this.begun.clear()
    this.span?.setAttribute('millrace.run.state', how)
    if (how === 'failed') this.span?.setStatus({ code: SpanStatusCode.ERROR })
    this.span?.end()
  }

  private begin(step: TracedStep, kind: SpanKind): Span | undefined {
    const attributes: Attributes = {
      'millrace.step.type': step.nodeType,
      'millrace.step.path': step.path,
      'millrace.step.attempt': step.attempt,
    }
    return this.tracing.begin(`step ${step.nodeType}`, { kind, startTime: step.startedAt, attributes }, this.context)
  }
}

function keyOf({ path, attempt }: { path: string; attempt: number }): string {
  return `${attempt} ${path}`
}
