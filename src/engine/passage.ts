import { isJsonObject, type Json } from '../platform/json.js'
import { BatchVisit } from './batch.js'
import { type Graph, type GraphNode, STAGE } from './graph.js'
import { type Decision, Parked, type PassageEnding, type StepOutcome } from './host.js'
import { fromHost, Interruption } from './interruption.js'
import type { Language } from './language.js'
import { LoopVisit } from './loop.js'
import { type Begun, errorOf, failed, flowError, succeeded } from './outcomes.js'
import { parametersOf } from './parameters.js'
import { visitPath } from './path.js'
import { attempts } from './retrying.js'
import { FILTERED, passed, SKIPPED, stateOf, successor } from './routing.js'
import { StageVisit } from './stage.js'
import { StepError, type StepRegistry, type StepType } from './step.js'
import type { Breath } from './stopping.js'
import { UserCode } from './user-code.js'
import type { Workbench } from './workbench.js'

/** What all passages of one interpretation have in common. */
export interface Journey {
  registry: StepRegistry
  breath: Breath
  /** Visits of all of them together, and their ceiling. */
  steps: number
  readonly maxSteps: number
  /** Told of the first node of all. */
  onStart(node: GraphNode): void
}

/**
 * A way through a graph, from its start along the edges that outcomes follow: the run's own, or that of one round of a loop, whose paths
 * begin with the round's. Settled paths are answered from history, until the first that is not settled.
 */
export class Passage {
  private readonly visits = new Map<string, number>()

  constructor(
    private readonly journey: Journey,
    private readonly bench: Workbench,
    private readonly graph: Graph,
    private readonly signal: AbortSignal,
    private readonly prefix = '',
  ) {}

  async walk(startNode = this.graph.start): Promise<PassageEnding> {
    const { journey } = this
    for (let name = startNode; ; ) {
      await journey.breath.take()
      this.signal.throwIfAborted()
      const node = this.graph.nodes.get(name)
      if (!node) return lost(name)
      if (journey.steps === 0) journey.onStart(node.branches?.[0] ?? node)
      if (journey.steps++ >= journey.maxSteps) return endless(node, journey.maxSteps)
      const outcome = node.branches ? await this.stage(node, node.branches) : await this.settle(node, this.visit(node))
      const next = successor(node, outcome)
      if (passed(node, outcome)) {
        if (node.branches) this.bench.memory.put(outcome.output ?? null)
        else this.remember(node, outcome)
        if (next === undefined) return completed(node, outcome, this.bench.language)
      } else {
        const error = errorOf(outcome)
        if (next === undefined) return { state: 'failed', error }
        this.bench.memory.rememberFailure(outcome, error, this.bench.language.failure(error))
      }
      name = next
    }
  }

  private stage(node: GraphNode, branches: readonly GraphNode[]): Promise<StepOutcome> {
    const { journey, bench, graph, signal, prefix } = this
    journey.steps += branches.length - 1
    return new StageVisit(bench, {
      node,
      path: this.visit(node),
      paths: new Map(branches.map((branch) => [branch.name, this.visit(branch)])),
      registry: journey.registry,
      settle: (branch, path, memory) =>
        new Passage(journey, { ...bench, memory }, graph, signal, prefix).settle(branch, path),
      skip: (branch, path) => this.skip(branch, path),
    }).run()
  }

  private remember(node: GraphNode, outcome: StepOutcome): void {
    this.bench.memory.remember(outcome, stateOf(node, outcome), this.journey.registry.get(node.type)?.sharedAs)
  }

  /** The outcome of visiting a node: from the journal when it is there, else by doing the work. */
  private async settle(node: GraphNode, path: string): Promise<StepOutcome> {
    const { history, ledger, voice } = this.bench
    const known = history.take(path)
    if (known) return known
    voice.started(node, path)
    const outcome = await this.work(node, path)
    ledger.record(outcome)
    const state = stateOf(node, outcome)
    if (outcome.state === 'succeeded') voice.completed(outcome, state)
    else voice.failed(outcome, passed(node, outcome) ? 'warn' : 'error')
    return outcome
  }

  /** The outcome of a node that is not begun, since what it needs was not settled well. */
  private skip(node: GraphNode, path: string): StepOutcome {
    const { history, ledger, voice, host } = this.bench
    const known = history.take(path)
    if (known) return known
    const outcome = this.without({ node, path, attempt: 1, startedAt: host.clock.now() }, SKIPPED)
    ledger.record(outcome)
    voice.completed(outcome, stateOf(node, outcome))
    return outcome
  }

  private async work(node: GraphNode, path: string): Promise<StepOutcome> {
    const type = this.journey.registry.get(node.type)
    const begun = { node, path, attempt: 1, startedAt: this.bench.host.clock.now() }
    if (!type) {
      // A revision may be older than this process, and speak of a type that has gone.
      const message = `unknown node type '${node.type}' in node '${node.name}'`
      const error = { message, code: 'unknown_type', node: node.name, nodeType: node.type }
      return failed(begun, error, undefined, begun.startedAt)
    }
    const outcome = (await this.keptBack(begun)) ?? (await this.workOf(node, type, path))
    if (outcome.state !== 'failed' || node.onError !== 'skip') return outcome
    return { ...outcome, state: 'succeeded', action: SKIPPED, output: null }
  }

  private workOf(node: GraphNode, type: StepType, path: string): Promise<StepOutcome> {
    const { bench, signal } = this
    if (node.loop) {
      const round = (memory: Workbench['memory'], body: Graph, prefix: string, stop: AbortSignal) =>
        new Passage(this.journey, { ...bench, memory }, body, stop, prefix).walk()
      return new LoopVisit(bench, node, type, path, signal, round).run()
    }
    if (node.batch) return new BatchVisit(bench, node, type, path, signal).run()
    return attempts(bench, { node, type, path, signal })
  }

  /** The outcome of a node that is not worked on: its condition does not hold, or its approval was declined. */
  private async keptBack(begun: Begun): Promise<StepOutcome | undefined> {
    const { host, history } = this.bench
    const { node, path } = begun
    // What has begun once is not decided again.
    if (history.lastRetry(path) || history.lost(path)) return undefined
    try {
      if (node.condition && !(await this.holds(node, node.condition))) return this.without(begun, FILTERED)
      if (!node.approval) return undefined
      const { approval } = node
      const { approved, by, note } = await this.decision(node, approval, path)
      if (approved) return undefined
      if (approval.onDecline === 'skip') return this.without(begun, SKIPPED)
      const words = by === undefined ? 'nobody approved it in time' : `declined by ${by}${note ? `: ${note}` : ''}`
      throw new StepError(words, { code: by === undefined ? 'approval_timeout' : 'declined', retryable: false })
    } catch (error) {
      if (error instanceof Interruption || this.signal.aborted) throw error
      return failed(begun, flowError(node, error, host), undefined, host.clock.now())
    }
  }

  /** Told of once the host has it on record: whoever hears of the wait may decide at once. */
  private async decision(
    node: GraphNode,
    approval: NonNullable<GraphNode['approval']>,
    path: string,
  ): Promise<Decision> {
    const { host, voice } = this.bench
    const wait = { path, node: node.name, nodeType: node.type, approval, mayPark: true }
    try {
      return await fromHost(host.approval(wait, this.signal))
    } catch (error) {
      if (error instanceof Interruption && error.cause instanceof Parked) voice.waiting(node, path)
      throw error
    }
  }

  private async holds(node: GraphNode, condition: NonNullable<GraphNode['condition']>): Promise<boolean> {
    const type = this.journey.registry.get(node.type) as StepType
    const template = parametersOf(node, type, this.bench.language).condition
    const values = template
      ? (await new UserCode(this.bench, { node, signal: this.signal }).render(template)).value
      : {}
    return condition.holds(values)
  }

  private without(begun: Begun, action: string): StepOutcome {
    return succeeded(begun, { output: null, action }, this.bench.host.clock.now())
  }

  private visit(node: GraphNode): string {
    const visit = (this.visits.get(node.name) ?? 0) + 1
    this.visits.set(node.name, visit)
    return `${this.prefix}${visitPath(node.name, visit)}`
  }
}

function completed(node: GraphNode, outcome: StepOutcome, language: Language): PassageEnding {
  const output: Json = outcome.output ?? null
  const result = language.result?.(node, output) ?? (isJsonObject(output) ? output : { result: output })
  const { name, type } = (node.type === STAGE ? node.branches?.at(-1) : undefined) ?? node
  return { state: 'completed', result, node: name, nodeType: type }
}

function lost(name: string): PassageEnding {
  return { state: 'failed', error: { message: `node '${name}' does not exist in this revision`, code: 'unknown_node' } }
}

function endless(node: GraphNode, maxSteps: number): PassageEnding {
  const message = `exceeded maximum number of steps (${maxSteps})`
  return { state: 'failed', error: { message, code: 'step_limit', node: node.name, nodeType: node.type } }
}
