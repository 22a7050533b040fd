import { type FakeNode, graphOf } from '../../engine/flow.fake.js'
import { Engine } from '../../engine/interpreter.js'
import { fakeLanguage } from '../../engine/language.fake.js'
import { StepRegistry, type StepType } from '../../engine/step.js'
import { systemClock } from '../../platform/clock/clock.js'
import type { Sql } from '../../platform/database/sql.js'
import { Hints } from '../../platform/hints/hints.js'
import { PostgresHints } from '../../platform/hints/postgres-hints.js'
import { RedisHints } from '../../platform/hints/redis-hints.js'
import { newId } from '../../platform/ids.js'
import { SecretMasker } from '../../platform/masking/secret-masker.js'
import { FlowNotFound, RevisionUnusable } from '../flows/flows.errors.js'
import type { FlowsService } from '../flows/flows.service.js'
import type { ApprovalsService } from './approvals/approvals.service.js'
import type { RunQueues } from './dispatch/run-queues.js'
import { RunEvents } from './events/run-events.js'
import type { NewRun } from './journal/records.js'
import { ChildRuns } from './lineage/child-runs.js'
import { StartingPoints } from './lineage/starting-points.js'
import { RunEngine } from './run-engine.js'
import { RunsQueries } from './runs.queries.js'
import type { SignalsService } from './signals.service.js'

/** The run engine of one process, and what it tells of events, without HTTP and modules around it. */
export interface EngineProcess {
  engine: RunEngine
  events: RunEvents
}

export interface EngineProcessOptions {
  sql: Sql
  steps: readonly StepType[]
  /** By the ids of flows. */
  graphs: ReadonlyMap<string, Record<string, FakeNode>>
  /** For hints. */
  redisUrl?: string
  tags?: string[]
  maxActiveRuns?: number
  queues?: RunQueues
  signals?: SignalsService
  approvals?: ApprovalsService
  /** Called as a run begins; what it throws the run meets. */
  onTaken?(): void
}

/** Engines on one database are as many processes, whether they share one or not. */
export async function engineProcess({
  sql,
  steps,
  graphs,
  redisUrl,
  tags = ['default'],
  maxActiveRuns = 500,
  queues,
  // Absent where the flows wait for none.
  signals = undefined as never,
  approvals = undefined as never,
  onTaken = () => {},
}: EngineProcessOptions): Promise<EngineProcess> {
  const hints = new Hints([...(redisUrl ? [new RedisHints(redisUrl)] : []), new PostgresHints(sql)])
  const events = new RunEvents(sql, hints)
  const flows = flowsOf(graphs)
  const supplies = {
    children: new ChildRuns(sql, flows, new RunsQueries(sql), new StartingPoints(sql, flows), systemClock),
    async compiled(flowId: string) {
      return { graph: await flows.graph(flowId, 1), language: fakeLanguage }
    },
    async hostParts() {
      onTaken()
      return {
        signals,
        approvals,
        keyValue: async () => undefined,
        secrets: {},
        masker: new SecretMasker([]),
        evaluate: () => Promise.reject(new Error('these flows have no scripts')),
      }
    },
  }
  const interpreter = new Engine({ registry: new StepRegistry([...steps]), checkParams: () => [] })
  const config = { shutdownGraceMs: 100, workerTags: tags, maxActiveRuns }
  const engine = new RunEngine(sql, interpreter, events, hints, supplies, systemClock, config, undefined, queues)
  await engine.onApplicationBootstrap()
  return { engine, events }
}

/** Flows that every account has, in one revision. */
function flowsOf(graphs: EngineProcessOptions['graphs']): FlowsService {
  const flows: Pick<FlowsService, 'runnable' | 'graph'> = {
    async runnable(_, id) {
      if (!graphs.has(id)) throw new FlowNotFound(id)
      return { id, revision: 1 }
    },
    async graph(id) {
      const nodes = graphs.get(id)
      if (!nodes) throw new RevisionUnusable('no such flow')
      return graphOf(nodes)
    },
  }
  return flows as FlowsService
}

/** Accepts a run of this flow; resolves with its id once it is durable. */
export async function acceptRun(engine: RunEngine, flowId: string, run: Partial<NewRun> = {}): Promise<string> {
  const id = newId('run')
  await engine.accept({
    id,
    tenantId: 'tenant_t',
    accountId: 'account_a',
    flowId,
    revision: 1,
    trigger: 'api',
    input: {},
    createdAt: new Date(),
    ...run,
  })
  return id
}
