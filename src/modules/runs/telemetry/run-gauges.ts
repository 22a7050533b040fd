import { Inject, Injectable, Optional } from '@nestjs/common'
import { Sql } from '../../../platform/database/sql.js'
import { Sandbox } from '../../../platform/sandbox/sandbox.js'
import { Metrics } from '../../../platform/telemetry/metrics.js'
import { RUN_QUEUES, type RunQueues } from '../dispatch/run-queues.js'
import { RunEvents } from '../events/run-events.js'
import { RunEngine } from '../run-engine.js'
import { type QueueDepth, QueueDepths } from './queue-depth.js'

/** What can be read of runs when somebody asks: this process's standing, and the queue that all processes share. */
@Injectable()
export class RunGauges {
  constructor(
    metrics: Metrics,
    engine: RunEngine,
    events: RunEvents,
    sandbox: Sandbox,
    sql: Sql,
    @Optional() @Inject(RUN_QUEUES) queues?: RunQueues,
  ) {
    this.ofEngine(metrics, engine)
    const depths = new QueueDepths(sql)
    this.ofQueue(metrics, depths)
    this.ofSandbox(metrics, sandbox)
    if (queues) this.ofQueues(metrics, queues, depths)
    metrics.gauge(
      { name: 'millrace_event_watchers', help: 'Streams of this process that follow a run.' },
      () => events.watchers,
    )
  }

  private ofEngine(metrics: Metrics, engine: RunEngine): void {
    metrics.gauge(
      {
        name: 'millrace_engine_ready',
        help: '1 while this process may take runs, 0 while it starts, stops or has lost its lease.',
      },
      () => (engine.standing ? 1 : 0),
    )
    metrics.gauge(
      { name: 'millrace_runs_active', help: 'Runs that this process interprets.' },
      () => engine.standing?.active,
    )
    metrics.gauge(
      { name: 'millrace_runs_room', help: 'Runs that this process could take now.' },
      () => engine.standing?.room,
    )
    metrics.gauge(
      { name: 'millrace_journal_queued_records', help: 'Records of this process that are not durable yet.' },
      () => engine.standing?.unwritten,
    )
    metrics.gauge(
      { name: 'millrace_lease_remaining_seconds', help: 'Until other processes may take this one for lost.' },
      () => engine.standing?.leaseSeconds,
    )
  }

  private ofQueue(metrics: Metrics, depths: QueueDepths): void {
    const states = ['queued', 'running', 'waiting', 'held'] as const satisfies readonly (keyof QueueDepth)[]
    metrics.asked(
      {
        name: 'millrace_queue_runs',
        help: 'Live runs of all processes, by state, counted up to 20000: every process tells the same, so take the maximum.',
      },
      async () => {
        const depth = await depths.now()
        return states.map((state) => ({ value: depth[state], labels: { state } }))
      },
    )
    metrics.asked(
      {
        name: 'millrace_queue_oldest_due_seconds',
        help: 'How long the longest has been due; 0 where nothing is. Of all processes.',
      },
      async () => (await depths.now()).oldestSeconds,
    )
    metrics.asked(
      {
        name: 'millrace_dead_letters',
        help: 'Runs that were given up after they took their process down again and again. Of all processes.',
      },
      async () => (await depths.now()).dead,
    )
  }

  private ofQueues(metrics: Metrics, queues: RunQueues, depths: QueueDepths): void {
    metrics.gauge(
      { name: 'millrace_redis_up', help: '1 while Redis answers. Without it runs are taken from the table.' },
      () => (queues.isOpen ? 1 : 0),
    )
    metrics.asked(
      { name: 'millrace_queue_handed_over_runs', help: 'Queued runs that a Bull queue was told of. Of all processes.' },
      async () => (await depths.now()).handedOver,
    )
  }

  private ofSandbox(metrics: Metrics, sandbox: Sandbox): void {
    metrics.counted(
      { name: 'millrace_sandbox_evaluations_total', help: 'Evaluations of user code, by what came of them.' },
      () => Object.entries(sandbox.counts).map(([result, value]) => ({ value, labels: { result } })),
    )
    metrics.gauge(
      { name: 'millrace_sandbox_waiting', help: 'Evaluations that wait for a worker.' },
      () => sandbox.waiting,
    )
    metrics.gauge({ name: 'millrace_sandbox_busy', help: 'Workers that evaluate.' }, () => sandbox.busy)
  }
}
