import { Injectable } from '@nestjs/common'
import type { SpanContext } from '@opentelemetry/api'
import type { StepOutcome, TracedStep, TraceHeaders } from '../../../engine/host.js'
import { StepRegistry } from '../../../engine/step.js'
import { requestContext } from '../../../platform/http/request-context.js'
import { timeOf } from '../../../platform/ids.js'
import type { Count, CountFamily, Distribution, DistributionFamily } from '../../../platform/telemetry/instruments.js'
import { Metrics } from '../../../platform/telemetry/metrics.js'
import { Tracing } from '../../../platform/telemetry/tracing.js'
import type { TakenRun } from '../worker/taken-run.js'
import { measuredJournal } from './measured-journal.js'
import { RunSpans } from './run-spans.js'
import type { JournalTelemetry, Rest, RunTelemetry, RunWatch } from './run-telemetry.js'

/** Seconds that runs take: from one of pure steps to one that waits for people. */
const RUN_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200, 86_400]
/** Outcomes tell milliseconds, so that a finer bucket would say nothing. */
const STEP_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300]
/** Runs of this process whose trace is known while they are parked or queued; beyond them the eldest are forgotten. */
const MOST_TRACES = 10_000

interface StepMeasures {
  succeeded: Distribution
  failed: Distribution
  retrying: Distribution
}

/** Counts what a process's engine does, and draws its spans where tracing is on. */
@Injectable()
export class MeasuredRuns implements RunTelemetry {
  readonly journal: JournalTelemetry
  private readonly steps = new Map<string, StepMeasures>()
  private readonly stepDurations: DistributionFamily
  private readonly acceptances: CountFamily
  private readonly rests: Record<Rest, Count>
  private readonly cancellations: Count
  private readonly durations: Record<'completed' | 'failed', Distribution>
  private readonly queueWait: Distribution
  private readonly takeovers: Count
  private readonly recovered: Count
  private readonly dead: Count
  private readonly losses: Count
  private readonly traces = new Map<string, SpanContext>()

  constructor(
    metrics: Metrics,
    private readonly tracing: Tracing,
    private readonly registry: StepRegistry,
  ) {
    this.journal = measuredJournal(metrics, tracing)
    this.acceptances = metrics.counts({
      name: 'millrace_runs_accepted_total',
      help: 'Runs that this process made durable, by what started them: the API, a schedule, a step of a flow, or somebody who starts an earlier one again.',
      labels: ['trigger'],
    })
    const finished = metrics.counts({
      name: 'millrace_runs_finished_total',
      help: 'Runs that this process ended.',
      labels: ['state'],
    })
    const left = metrics.counts({
      name: 'millrace_runs_unloaded_total',
      help: 'Runs that left this process without an end: parked on a wait, handed back to the queue, or stopped.',
      labels: ['reason'],
    })
    this.rests = {
      completed: finished.with('completed'),
      failed: finished.with('failed'),
      parked: left.with('parked'),
      'handed back': left.with('handed_back'),
      stopped: left.with('stopped'),
    }
    this.cancellations = finished.with('cancelled')
    const durations = metrics.distributions(
      { name: 'millrace_run_duration_seconds', help: 'From the accept of a run to its end.', labels: ['state'] },
      RUN_SECONDS,
    )
    this.durations = { completed: durations.with('completed'), failed: durations.with('failed') }
    this.queueWait = metrics.distribution(
      { name: 'millrace_run_queue_wait_seconds', help: 'From the accept of a run to the start of its first step.' },
      RUN_SECONDS,
    )
    this.takeovers = metrics.count({
      name: 'millrace_takeovers_total',
      help: 'Times that this process took over from one that was lost.',
    })
    this.recovered = metrics.count({
      name: 'millrace_runs_recovered_total',
      help: 'Runs that this process put back in the queue for one that was lost.',
    })
    this.dead = metrics.count({
      name: 'millrace_runs_given_up_total',
      help: 'Runs that this process made dead letters, since their processes were lost again and again.',
    })
    this.losses = metrics.count({
      name: 'millrace_lease_losses_total',
      help: 'Times that this process was declared lost and began anew.',
    })
    this.stepDurations = metrics.distributions(
      {
        name: 'millrace_step_duration_seconds',
        help: 'Attempts at steps, items of batches included, by what came of them; retrying is a failure with another attempt due.',
        labels: ['type', 'state'],
      },
      STEP_SECONDS,
    )
  }

  accepted({ id, trigger }: { id: string; trigger: string }): void {
    this.acceptances.with(trigger).add()
    const trace = requestContext()?.trace
    if (trace && this.tracing.on) this.remember(id, trace)
  }

  fired(runs: number): void {
    this.acceptances.with('schedule').add(runs)
  }

  /** A run below another is durable. */
  child(id: string, trace: SpanContext | undefined): void {
    this.acceptances.with('flow').add()
    if (trace) this.remember(id, trace)
  }

  taken(run: TakenRun): RunWatch {
    const isFirst = run.history.length === 0 && run.lastSeq === 0 && run.timers.length === 0
    if (isFirst) this.queueWait.observe(secondsSince(run.id))
    const spans = this.tracing.on ? new RunSpans(this.tracing, run, this.traces.get(run.id)) : undefined
    return new Watch(this, run, spans)
  }

  cancelled(runs: number): void {
    this.cancellations.add(runs)
  }

  tookOver({ queued, dead }: { queued: number; dead: number }): void {
    this.takeovers.add()
    this.recovered.add(queued)
    this.dead.add(dead)
  }

  lost(): void {
    this.losses.add()
  }

  step(outcome: StepOutcome): void {
    const measures = this.steps.get(outcome.nodeType) ?? this.measuresOf(outcome.nodeType)
    measures[outcome.state].observe((outcome.finishedAt.getTime() - outcome.startedAt.getTime()) / 1000)
  }

  rested(run: TakenRun, how: Rest, trace: SpanContext | undefined): void {
    this.rests[how].add()
    if (how === 'completed' || how === 'failed') {
      this.durations[how].observe(secondsSince(run.id))
      this.traces.delete(run.id)
    } else if (trace && !this.traces.has(run.id)) this.remember(run.id, trace)
  }

  /** The span below which a run's own belongs, for when this process takes it. */
  private remember(runId: string, trace: SpanContext): void {
    this.traces.set(runId, trace)
    if (this.traces.size > MOST_TRACES) this.traces.delete(this.traces.keys().next().value as string)
  }

  /** What a revision names may be older than this program, so that only known types have a name of their own. */
  private measuresOf(nodeType: string): StepMeasures {
    const type = this.registry.get(nodeType) ? nodeType : 'other'
    const measures = {
      succeeded: this.stepDurations.with(type, 'succeeded'),
      failed: this.stepDurations.with(type, 'failed'),
      retrying: this.stepDurations.with(type, 'retrying'),
    }
    this.steps.set(type, measures)
    return measures
  }
}

class Watch implements RunWatch {
  constructor(
    private readonly runs: MeasuredRuns,
    private readonly run: TakenRun,
    private readonly spans: RunSpans | undefined,
  ) {}

  get traceId(): string | undefined {
    return this.spans?.context?.traceId
  }

  settled(outcome: StepOutcome): void {
    // The list that a batch works on is recorded beside its items; nothing was attempted for it.
    if (outcome.path.endsWith('[]')) return
    this.runs.step(outcome)
    this.spans?.settled(outcome)
  }

  traceHeaders(step: TracedStep): TraceHeaders | undefined {
    return this.spans?.headers(step)
  }

  started(childId: string): void {
    this.runs.child(childId, this.spans?.context)
  }

  rests(how: Rest): void {
    this.spans?.end(how)
    this.runs.rested(this.run, how, this.spans?.context)
  }
}

/** Since the accept of a run, by the time in its id; another process's clock may be ahead of this one's. */
function secondsSince(runId: string): number {
  return Math.max(0, Date.now() - timeOf(runId)) / 1000
}
