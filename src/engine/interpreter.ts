import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import { Attempt, type AttemptTools, evaluateTemplate, type ParamsCheck } from './attempt.js'
import { itemsOf, runBatch } from './batch.js'
import type { Graph, GraphNode } from './graph.js'
import { History } from './history.js'
import { type FlowError, type Host, Parked, type RunEnding, ScriptError, type StepOutcome } from './host.js'
import type { Language } from './language.js'
import { successor } from './routing.js'
import { RunMemory } from './run-memory.js'
import { type RunIdentity, StepError, type StepRegistry, type StepResult, type StepType } from './step.js'

/** A run to interpret, or to go on with: whatever `history` settles is not done again. */
export interface RunSpec {
  run: RunIdentity
  graph: Graph
  language: Language
  input: Json
  /** Absent means the graph's start. */
  startNode?: string
  history?: Iterable<StepOutcome>
  /** True when earlier work of this run may exist, so that its beginning is not announced twice. */
  resumed?: boolean
}

export interface EngineOptions {
  registry: StepRegistry
  checkParams: ParamsCheck
  /** A run that takes more steps than this fails: the ceiling of a loop that never ends. */
  maxSteps?: number
}

const MAX_STEPS = 10_000

/** Interprets runs. Holds no state between them. */
export class Engine {
  constructor(private readonly options: EngineOptions) {}

  /**
   * Takes a run as far as it goes. Resolves with how it came to rest; rejects only when the host does, for then what happened is not
   * safely recorded and another owner goes on from the journal.
   */
  interpret(spec: RunSpec, host: Host, signal: AbortSignal): Promise<RunEnding> {
    return new Interpretation(this.options, spec, host, signal).run()
  }
}

class Interpretation {
  private readonly history: History
  private readonly memory: RunMemory
  private readonly tools: AttemptTools
  private readonly visits = new Map<string, number>()
  /** The newest record; since records of a run are written in order, once it is durable all are. */
  private recorded: Promise<void> = Promise.resolve()

  constructor(
    private readonly options: EngineOptions,
    private readonly spec: RunSpec,
    private readonly host: Host,
    private readonly signal: AbortSignal,
  ) {
    this.history = new History(spec.history)
    this.memory = new RunMemory(spec.run, spec.input)
    this.tools = { host, language: spec.language, checkParams: options.checkParams }
  }

  async run(): Promise<RunEnding> {
    try {
      const ending = await this.walk()
      await this.recorded
      return ending
    } catch (error) {
      if (error instanceof Parked) return { state: 'parked' }
      if (this.signal.aborted) return { state: 'cancelled' }
      throw error
    }
  }

  private async walk(): Promise<RunEnding> {
    const { graph, language } = this.spec
    let name: string | undefined = this.spec.startNode ?? graph.start
    for (let steps = 0; ; steps++) {
      const node = graph.nodes.get(name)
      if (!node) return this.failed({ message: `node '${name}' does not exist in this revision`, code: 'unknown_node' })
      if (steps === 0 && !this.spec.resumed) this.say(node, 'info', language.words.started)
      if (steps >= (this.options.maxSteps ?? MAX_STEPS))
        return this.failed({
          message: `exceeded maximum number of steps (${this.options.maxSteps ?? MAX_STEPS})`,
          code: 'step_limit',
          node: node.name,
          nodeType: node.type,
        })
      const outcome = await this.settle(node)
      const next = successor(node, outcome)
      if (outcome.state === 'succeeded') {
        this.memory.remember(outcome, this.options.registry.get(node.type)?.sharedAs)
        if (next === undefined) return this.completed(node, outcome)
      } else {
        const error = outcome.error ?? { message: 'the step failed', code: 'step_failed' }
        if (next === undefined) return this.failed(error)
        this.memory.rememberFailure(error, language.failure(error))
      }
      name = next
    }
  }

  /** The outcome of visiting a node: from the journal when it is there, else by doing the work. */
  private async settle(node: GraphNode): Promise<StepOutcome> {
    const path = this.visit(node)
    const known = this.history.settled(path)
    if (known) return known
    const type = this.options.registry.get(node.type)
    this.host.emit({ type: 'node_started', node: node.name, nodeType: node.type, at: this.host.clock.now() })
    const outcome = !type
      ? this.outcome(node, path, 1, this.host.clock.now(), { error: unknownType(node) })
      : node.batch
        ? await this.batch(node, type, path)
        : await this.attempts(node, type, path)
    this.record(outcome)
    if (outcome.state === 'succeeded')
      this.host.emit({
        type: 'node_completed',
        node: node.name,
        nodeType: node.type,
        path: outcome.path,
        attempt: outcome.attempt,
        result: outcome.output ?? null,
        at: outcome.finishedAt,
      })
    else this.say(node, 'error', outcome.error?.message ?? 'the step failed')
    return outcome
  }

  /** The first visit is the node's name; a loop's later ones are numbered. */
  private visit(node: GraphNode): string {
    const visit = (this.visits.get(node.name) ?? 0) + 1
    this.visits.set(node.name, visit)
    return visit === 1 ? node.name : `${node.name}#${visit}`
  }

  private async batch(node: GraphNode, type: StepType, path: string): Promise<StepOutcome> {
    const startedAt = this.host.clock.now()
    try {
      const items = await this.items(node)
      const outputs = await runBatch(node, items, this.signal, async (item, index, signal) => {
        const itemPath = `${path}[${index}]`
        const known = this.history.settled(itemPath)
        const outcome = known ?? (await this.attempts(node, type, itemPath, { value: item, index }, signal))
        if (!known) this.record(outcome)
        if (outcome.state === 'succeeded') {
          this.memory.share(outcome.shared)
          return outcome.output ?? null
        }
        throw new ItemFailed(outcome.error ?? { message: 'the step failed', code: 'step_failed' }, index)
      })
      return this.outcome(node, path, 1, startedAt, { result: { output: outputs } })
    } catch (error) {
      this.rethrowIfOver(error)
      return this.outcome(node, path, 1, startedAt, { error: this.flowError(node, error) })
    }
  }

  private async items(node: GraphNode): Promise<Json[]> {
    const variables = async () => this.spec.language.variables(this.memory.moment(await this.host.secrets()))
    const source = node.params.items
    if (source === undefined) return itemsOf(this.memory.input)
    const rendered = await evaluateTemplate(
      this.spec.language.template({ items: source }),
      await variables(),
      async (scripts) => {
        const evaluation = await this.host.evaluate({ scripts, scope: await variables() }, this.signal)
        return evaluation.values
      },
    )
    return itemsOf(rendered.items ?? null)
  }

  /** Attempts until one succeeds or none is left; each failed attempt and the time of the next are recorded together. */
  private async attempts(
    node: GraphNode,
    type: StepType,
    path: string,
    item?: { value: Json; index: number },
    signal = this.signal,
  ): Promise<StepOutcome> {
    const before = this.history.lastRetry(path)
    if (before?.dueAt) await this.untilRetry(path, before.attempt, before.dueAt, item === undefined, signal)
    for (let attempt = (before?.attempt ?? 0) + 1; ; attempt++) {
      if (type.stepClass !== 'pure') await this.recorded
      signal.throwIfAborted()
      const startedAt = this.host.clock.now()
      const of = { node, type, path, attempt, memory: this.memory, item, signal }
      try {
        const result = await new Attempt(this.tools, of).run()
        signal.throwIfAborted()
        return this.outcome(node, path, attempt, startedAt, { result })
      } catch (error) {
        this.rethrowIfOver(error, signal)
        const failure = { error: this.flowError(node, error) }
        const retry = node.retry
        if (!retry || attempt >= retry.maxAttempts || (error instanceof StepError && !error.retryable))
          return this.outcome(node, path, attempt, startedAt, { ...failure, action: actionOf(error) })
        const dueAt = new Date(this.host.clock.now().getTime() + retry.waitMs)
        this.record({ ...this.outcome(node, path, attempt, startedAt, failure), state: 'retrying', dueAt })
        this.say(node, 'warn', `Attempt ${attempt} of ${retry.maxAttempts} failed: ${failure.error.message}`)
        await this.untilRetry(path, attempt, dueAt, item === undefined, signal)
      }
    }
  }

  private untilRetry(path: string, attempt: number, dueAt: Date, mayPark: boolean, signal: AbortSignal): Promise<void> {
    return this.host.sleep({ path, attempt, ordinal: 0, kind: 'retry', dueAt, mayPark }, signal)
  }

  /** What ends the whole interpretation rather than the step. */
  private rethrowIfOver(error: unknown, signal = this.signal): void {
    if (error instanceof Parked || signal.aborted || this.signal.aborted) throw error
  }

  private outcome(
    node: GraphNode,
    path: string,
    attempt: number,
    startedAt: Date,
    came: { result?: StepResult; error?: FlowError; action?: string },
  ): StepOutcome {
    return {
      path,
      attempt,
      node: node.name,
      nodeType: node.type,
      state: came.result ? 'succeeded' : 'failed',
      action: came.result ? came.result.action : came.action,
      output: came.result?.output,
      shared: came.result?.shared,
      error: came.error,
      startedAt,
      finishedAt: this.host.clock.now(),
    }
  }

  private record(outcome: StepOutcome): void {
    this.recorded = this.host.record(outcome)
    // A rejection is met where durability matters: before the next effect and at the end.
    this.recorded.catch(() => {})
  }

  private flowError(node: GraphNode, error: unknown): FlowError {
    const cause = error instanceof ItemFailed ? error.error : undefined
    const output = cause ? cause.output : error instanceof StepError ? error.output : undefined
    return {
      message: this.host.mask(cause ? cause.message : error instanceof Error ? error.message : String(error)),
      code: cause?.code ?? (error instanceof StepError || error instanceof ScriptError ? error.code : 'step_failed'),
      node: node.name,
      nodeType: node.type,
      output: output === undefined ? undefined : this.host.mask(output),
    }
  }

  private completed(node: GraphNode, outcome: StepOutcome): RunEnding {
    this.say(node, 'info', this.spec.language.words.completed)
    const output = outcome.output ?? null
    const result: JsonObject = isJsonObject(output) ? output : { result: output }
    return { state: 'completed', result, node: node.name, nodeType: node.type }
  }

  private failed(error: FlowError): RunEnding {
    this.host.emit({
      type: 'log',
      level: 'error',
      message: this.spec.language.words.failed,
      node: error.node,
      nodeType: error.nodeType,
      data: { error: error.message },
      at: this.host.clock.now(),
    })
    return { state: 'failed', error }
  }

  private say(node: GraphNode, level: 'info' | 'warn' | 'error', message: string): void {
    this.host.emit({ type: 'log', level, message, node: node.name, nodeType: node.type, at: this.host.clock.now() })
  }
}

/** An item of a batch failed after its retries, and the node with it. */
class ItemFailed extends Error {
  constructor(
    readonly error: FlowError,
    index: number,
  ) {
    super(`item ${index}: ${error.message}`)
  }
}

function unknownType(node: GraphNode): FlowError {
  return {
    message: `unknown node type '${node.type}' in node '${node.name}'`,
    code: 'unknown_type',
    node: node.name,
    nodeType: node.type,
  }
}

function actionOf(error: unknown): string | undefined {
  return error instanceof StepError ? error.action : undefined
}
