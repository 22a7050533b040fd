import { Inject, Injectable } from '@nestjs/common'
import { type GraphNode, type Label, nodesOf } from '../../../engine/graph.js'
import type { FlowError } from '../../../engine/host.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import type { Json } from '../../../platform/json.js'
import { LayerNotFound, RevisionUnusable } from '../../flows/flows.errors.js'
import { FlowsService } from '../../flows/flows.service.js'
import { ApprovalsService, type StoredApproval } from '../approvals/approvals.service.js'
import { isFinal } from '../run-state.js'
import type { Page, RunSummary } from '../runs.queries.js'
import { type RecordedStep, RunStepsQueries, type StartedStep, type StepValue } from './run-steps.queries.js'
import { StepOrder } from './step-order.js'
import { type StepState, stepState, type WaitsFor } from './step-state.js'

/** A visit to a node of a run, or a node that the run has not come to. */
export interface RunStep {
  node: string
  nodeType: string
  label: Label
  /** Absent where there was no visit. */
  path?: string
  state: StepState
  /** How many attempts came to an end. */
  attempts: number
  startedAt?: Date
  finishedAt?: Date
  output: Json
  error?: Partial<FlowError>
  approval?: StoredApproval
}

export type StepsOf = Pick<RunSummary, 'id' | 'flowId' | 'revision' | 'state'> & { tenantId: string }

/** A step before what is large of it is read. */
type Known = Omit<RunStep, 'label' | 'output' | 'error'> & { attempt?: number }

/** How the nodes of a run's flow stand, one visit after another. */
@Injectable()
export class RunSteps {
  constructor(
    private readonly queries: RunStepsQueries,
    private readonly approvals: ApprovalsService,
    private readonly flows: FlowsService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** In the order of the flow. Only what the page shows is read whole. */
  async page(run: StepsOf, limit: number, offset: number): Promise<Page<RunStep>> {
    const nodes = await this.nodesOf(run)
    const visited = await this.visited(run, nodes)
    const seen = new Set(visited.map(({ node }) => node))
    const ahead = [...nodes.values()].filter(({ name }) => !seen.has(name)).map(notReached)
    const all = new StepOrder(nodes.keys()).sorted([...visited, ...ahead])
    const shown = all.slice(offset, offset + limit)
    const values = await this.queries.valuesOf(
      run,
      shown.flatMap(({ path, attempt }) => (path !== undefined && attempt !== undefined ? [{ path, attempt }] : [])),
    )
    const labels = labelsOf(nodes.values())
    return { items: shown.map((step) => whole(step, labels, values)), total: all.length }
  }

  /** The node that is meant by its label's id, or by its name. Throws `LayerNotFound` where the flow has none. */
  async nodeFor(run: Pick<StepsOf, 'flowId' | 'revision'>, word: string): Promise<string> {
    const nodes = await this.nodesOf(run)
    for (const { name, label } of nodes.values()) if (label?.id === word) return name
    if (!nodes.has(word)) throw new LayerNotFound(word)
    return word
  }

  /** Every visit that has begun. */
  private async visited(run: StepsOf, nodes: ReadonlyMap<string, GraphNode>): Promise<Known[]> {
    const [recorded, started, approvals, waits] = await Promise.all([
      this.queries.recorded(run.id),
      // A run that was completed has left an outcome of all that it started.
      run.state === 'completed' ? [] : this.queries.started(run.id),
      this.approvals.ofRun(run.id),
      isFinal(run.state) ? new Map<string, WaitsFor>() : this.queries.waits(run.id, this.clock.now()),
    ])
    const outcomes = new Map(recorded.map((outcome) => [outcome.path, outcome]))
    const asked = new Map(approvals.map((approval) => [approval.path, approval]))
    return begun(approvals, started, recorded).map(({ path, node: name, nodeType, startedAt }) => {
      const [node, outcome, approval] = [nodes.get(name), outcomes.get(path), asked.get(path)]
      const isOpen = approval !== undefined && approval.decision === undefined
      const state = stepState(run.state, outcome, isOpen ? 'answer' : waits.get(path), node)
      return {
        path,
        node: name,
        nodeType: nodeType ?? node?.type ?? '',
        state,
        attempts: state === 'filtered' ? 0 : (outcome?.attempt ?? 0),
        attempt: outcome?.attempt,
        startedAt,
        finishedAt: outcome?.state === 'retrying' ? undefined : outcome?.finishedAt,
        approval,
      }
    })
  }

  /** By name. None where the revision cannot be run any more: what was recorded is there all the same. */
  private async nodesOf({ flowId, revision }: Pick<StepsOf, 'flowId' | 'revision'>): Promise<Map<string, GraphNode>> {
    try {
      const graph = await this.flows.graph(flowId, revision)
      return new Map([...nodesOf(graph)].map((node) => [node.name, node]))
    } catch (error) {
      if (error instanceof RevisionUnusable) return new Map()
      throw error
    }
  }
}

/** What is known of the beginnings of visits: each is told of, and most are recorded; one that waits for its approval began with that. */
function begun(
  approvals: readonly StoredApproval[],
  started: readonly StartedStep[],
  recorded: readonly RecordedStep[],
): { path: string; node: string; nodeType?: string; startedAt: Date }[] {
  const asked = approvals.map(({ path, node, createdAt }) => ({
    path,
    node,
    nodeType: undefined,
    startedAt: createdAt,
  }))
  const all = new Map<string, { path: string; node: string; nodeType?: string; startedAt: Date }>()
  for (const step of [...asked, ...started, ...recorded]) {
    const before = all.get(step.path)
    all.set(step.path, {
      ...step,
      startedAt: before && before.startedAt < step.startedAt ? before.startedAt : step.startedAt,
    })
  }
  return [...all.values()]
}

function notReached({ name, type }: GraphNode): Known {
  return { node: name, nodeType: type, state: 'ahead', attempts: 0 }
}

function whole(step: Known, labels: ReadonlyMap<string, Label>, values: ReadonlyMap<string, StepValue>): RunStep {
  const { attempt: _, ...known } = step
  const { output = null, error } = values.get(step.path ?? '') ?? {}
  return { ...known, label: labels.get(step.node) ?? { id: step.node, index: labels.size }, output, error }
}

/** A node that its author gave none goes by its name, in the place where the flow has it. */
export function labelsOf(nodes: Iterable<GraphNode>): Map<string, Label> {
  const labels = new Map<string, Label>()
  for (const { name, label } of nodes) labels.set(name, label ?? { id: name, index: labels.size })
  return labels
}
