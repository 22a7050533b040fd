import Bull, { type Queue } from 'bull'
import { vi } from 'vitest'
import type { TestDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { newId } from '../../../platform/ids.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import type { NewRun } from '../journal/records.js'
import { acceptRun, engineProcess } from '../run-engine.fake.js'
import type { RunEngine } from '../run-engine.js'
import { SignalsService } from '../signals.service.js'
import type { HandedRun } from '../worker/taken-run.js'
import { QueueConnections } from './queue-connections.js'
import { QUEUE_OPTIONS, RunQueues } from './run-queues.js'

export interface ProcessOptions {
  tags?: string[]
  maxActive?: number
  redisUrl?: string
  /** Works on what is in the queues. */
  takes?: boolean
}

/** What a `hold` step of a run waits for, and who runs it. */
export interface Held {
  process: string
  release(): void
}

/** Several processes' worth of engines on one database, with flows of a few fake steps. */
export class Processes {
  readonly engines = new Map<RunEngine, string>()
  readonly queues = new Map<RunEngine, RunQueues>()
  /** How often the `count` step of a run has run, and in which processes. */
  readonly counted = new Map<string, string[]>()
  readonly held = new Map<string, Held>()
  /** Runs of each key that are inside a step at present, and the most that there were. */
  readonly inside = new Map<string, { now: number; most: number }>()
  private started = 0
  private readonly graphs = new Map<string, Record<string, FakeNode>>()

  constructor(private readonly database: TestDatabase) {}

  async start(options: ProcessOptions = {}): Promise<RunEngine> {
    const { tags = ['default'], maxActive = 100, redisUrl, takes = false } = options
    const { sql, dataSource } = this.database
    const name = `process ${++this.started}`
    const connections = redisUrl === undefined ? undefined : new QueueConnections(redisUrl)
    const queues =
      connections &&
      new RunQueues(connections, takes, async (queue) => {
        return new Bull(queue, { ...QUEUE_OPTIONS, createClient: connections.createClient }) as Queue<HandedRun>
      })
    const { engine } = await engineProcess({
      sql,
      steps: this.steps(name),
      graphs: this.graphs,
      tags,
      maxActiveRuns: maxActive,
      queues,
      signals: new SignalsService(sql, dataSource, new AuditTrail(), systemClock),
    })
    this.engines.set(engine, name)
    if (queues) this.queues.set(engine, queues)
    return engine
  }

  async accept(engine: RunEngine, nodes: Record<string, FakeNode>, run: Partial<NewRun> = {}): Promise<string> {
    const flowId = newId('flow')
    this.graphs.set(flowId, nodes)
    return await acceptRun(engine, flowId, run)
  }

  /** What runs of this flow do that come into the table by other ways. */
  flow(id: string, nodes: Record<string, FakeNode>): void {
    this.graphs.set(id, nodes)
  }

  async stop(engine: RunEngine): Promise<void> {
    this.engines.delete(engine)
    await engine.stop(0)
  }

  async stopAll(): Promise<void> {
    for (const { release } of this.held.values()) release()
    await Promise.all([...this.engines.keys()].map((engine) => this.stop(engine)))
    this.held.clear()
    this.counted.clear()
    this.started = 0
    await this.database.dataSource.query('delete from run')
    await this.database.dataSource.query('delete from engine_instance')
  }

  async heldBy(id: string): Promise<Held> {
    return await vi.waitUntil(() => this.held.get(id), { timeout: 20_000, interval: 5 })
  }

  /** Resolves once all have ended. */
  async ended(ids: readonly string[], timeout = 30_000): Promise<void> {
    await vi.waitUntil(
      async () => {
        const [{ left }] = await this.database.dataSource.query(
          `select count(*)::int as left from unnest($1::text[]) as asked (id)
            where not exists (select from run r where r.id = asked.id and r.state in ('completed', 'failed', 'cancelled'))`,
          [ids],
        )
        return left === 0
      },
      { timeout, interval: 20 },
    )
  }

  async states(ids: readonly string[]): Promise<Record<string, number>> {
    const rows = await this.database.dataSource.query(
      'select state, count(*)::int as count from run where id = any ($1) group by state',
      [ids],
    )
    return Object.fromEntries(rows.map(({ state, count }: { state: string; count: number }) => [state, count]))
  }

  private steps(process: string) {
    return [
      ...fakeSteps,
      stepType(
        'count',
        (_, step) => {
          this.counted.set(step.run.id, [...(this.counted.get(step.run.id) ?? []), process])
          return { output: step.input }
        },
        { stepClass: 'effect' },
      ),
      stepType(
        'hold',
        (_, step) =>
          new Promise((resolve, reject) => {
            this.held.set(step.run.id, { process, release: () => resolve({ output: 'released' }) })
            step.signal.addEventListener('abort', () => reject(step.signal.reason), { once: true })
          }),
        { stepClass: 'effect' },
      ),
      stepType(
        'inside',
        async ({ key = '' }) => {
          const known = this.inside.get(String(key)) ?? { now: 0, most: 0 }
          this.inside.set(String(key), known)
          known.most = Math.max(known.most, ++known.now)
          await new Promise((resolve) => setImmediate(resolve))
          known.now--
          return { output: null }
        },
        { stepClass: 'effect' },
      ),
    ]
  }
}
