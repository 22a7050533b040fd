import { flowRunnerLanguage } from '../src/definitions/flowrunner/index.js'
import type { Graph, GraphNode } from '../src/engine/graph.js'
import { Engine } from '../src/engine/interpreter.js'
import { StepRegistry, type StepType } from '../src/engine/step.js'
import { Admissions } from '../src/modules/runs/dispatch/admissions.js'
import { HandOver } from '../src/modules/runs/dispatch/hand-over.js'
import { RunEvents } from '../src/modules/runs/events/run-events.js'
import { rowsOf } from '../src/modules/runs/journal/flush.js'
import { Journal } from '../src/modules/runs/journal/journal.js'
import { type JournalRecord, runOf, type Writer } from '../src/modules/runs/journal/records.js'
import { Ownership } from '../src/modules/runs/ownership/ownership.js'
import { RunWorker } from '../src/modules/runs/worker/run.worker.js'
import { systemClock } from '../src/platform/clock/clock.js'
import type { Sql } from '../src/platform/database/sql.js'
import { Hints } from '../src/platform/hints/hints.js'
import { newId } from '../src/platform/ids.js'
import { SecretMasker } from '../src/platform/masking/secret-masker.js'

/** A step that costs nothing, so that what is measured is the engine and the journal. */
function lightStep(name: string, stepClass: StepType['stepClass']): StepType {
  return {
    name,
    summary: name,
    stepClass,
    params: { type: 'object' },
    run: async (_, step) => ({ output: step.input }),
  }
}

/** So many light steps in a row; `effect` ones wait until what came before them is durable. */
export function lightFlow(steps: number, type: 'pure' | 'effect'): Graph {
  const nodes = Array.from({ length: steps }, (_, index): [string, GraphNode] => {
    const next: Record<string, string> = index + 1 < steps ? { default: `n${index + 1}` } : {}
    return [`n${index}`, { name: `n${index}`, type, params: {}, next }]
  })
  return { start: 'n0', nodes: new Map(nodes) }
}

/**
 * The journal as most engines have it: every record a statement and a commit of its own, over a pool of connections, in the order of
 * its run. Everything else is the product's.
 */
class CommitPerRecord extends Journal {
  private readonly tails = new Map<string, Promise<unknown>>()

  constructor(
    private readonly pool: Sql,
    writer: Writer,
  ) {
    super(pool, writer)
  }

  override async accept(...[run]: Parameters<Journal['accept']>) {
    await this.commit({ kind: 'accept', run })
    return { id: run.id, createdAt: run.createdAt, repeated: false }
  }

  override async write(...[record]: Parameters<Journal['write']>) {
    await this.commit(record)
  }

  override async finish(...[{ id: runId, epoch, accountId }, ending, events]: Parameters<Journal['finish']>) {
    await this.commit({ kind: 'finish', runId, accountId, epoch, ending, events })
    this.tails.delete(runId)
    return true
  }

  override async close() {
    await Promise.all(this.tails.values())
    await super.close()
  }

  private commit(record: JournalRecord): Promise<unknown> {
    const runId = runOf(record)
    const written = (this.tails.get(runId) ?? Promise.resolve()).then(() => this.send(rowsOf(record), this.pool))
    this.tails.set(runId, written)
    return written
  }
}

/** The engine, its journal and its worker in this process, without HTTP. */
export class InProcess {
  private readonly ended = new Map<string, () => void>()

  private constructor(
    private readonly ownership: Ownership,
    private readonly journal: Journal,
    private readonly worker: RunWorker,
    private readonly admissions: Admissions,
  ) {}

  static async start(sql: Sql, kind: 'group' | 'commit per record', graph: Graph): Promise<InProcess> {
    const report = (error: unknown) => console.error(error)
    const ownership = await Ownership.take(sql, { onLost() {}, onError: report })
    const journal = new (kind === 'group' ? Journal : CommitPerRecord)(sql, ownership.writer)
    const registry = new StepRegistry([lightStep('pure', 'pure'), lightStep('effect', 'effect')])
    const hints = new Hints([])
    const admissions = new Admissions({ sql, clock: systemClock, onAdmitted() {}, onError: report })
    const events = new RunEvents(sql, hints)
    const masker = new SecretMasker([])
    const worker = new RunWorker({
      sql,
      clock: systemClock,
      engine: new Engine({ registry, checkParams: () => [] }),
      journal,
      events,
      supplies: {
        // Light flows have no sub-flows.
        children: undefined as never,
        compiled: async () => ({ graph, language: flowRunnerLanguage }),
        hostParts: async () => ({
          secrets: {},
          masker,
          signals: undefined as never,
          approvals: undefined as never,
          keyValue: async () => undefined,
          evaluate: () => Promise.reject(new Error('light steps have no scripts')),
        }),
      },
      owner: ownership.writer,
      tags: ['default'],
      maxActive: 500,
      handOver: new HandOver({ sql, clock: systemClock, hints, onError: report }),
      admissions,
      onCancelled() {},
      onError: report,
    })
    const host = new InProcess(ownership, journal, worker, admissions)
    events.published = (runId) => {
      host.ended.get(runId)?.()
      host.ended.delete(runId)
    }
    return host
  }

  /** Accepts a run and resolves once it is durably finished. */
  async run(): Promise<void> {
    const run = {
      id: newId('run'),
      tenantId: 'default',
      accountId: 'account_bench',
      flowId: 'flow_bench',
      revision: 1,
      trigger: 'api' as const,
      input: { n: 1 },
      createdAt: new Date(),
    }
    await this.journal.accept({ ...run, state: 'running' })
    const ended = new Promise<void>((resolve) => this.ended.set(run.id, resolve))
    this.worker.start({ ...run, epoch: 0, history: [], timers: [], opens: [], lastSeq: 0, untold: [] })
    await ended
  }

  async stop(): Promise<void> {
    await this.worker.stop(10_000)
    await this.admissions.stop()
    await this.journal.close()
    await this.ownership.release()
  }
}
