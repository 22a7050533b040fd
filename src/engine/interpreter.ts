import { isJsonObject, type Json } from '../platform/json.js'
import { BatchVisit } from './batch.js'
import type { Graph, GraphNode } from './graph.js'
import { History } from './history.js'
import { type Host, type OpenedStep, Parked, type RunEnding, type StepOutcome } from './host.js'
import { Interruption } from './interruption.js'
import { ItemPlaces } from './item-places.js'
import type { Language } from './language.js'
import { Ledger } from './ledger.js'
import { errorOf, failed } from './outcomes.js'
import { OutputBudget } from './output-budget.js'
import { visitPath } from './path.js'
import { attempts } from './retrying.js'
import { successor } from './routing.js'
import { RunMemory } from './run-memory.js'
import type { RunIdentity, StepRegistry } from './step.js'
import { Breath, Stop } from './stopping.js'
import { Voice } from './voice.js'
import type { ParamsCheck, Workbench } from './workbench.js'

/** A run to interpret, or to go on with: whatever `history` settles is not done again. */
export interface RunSpec {
  run: RunIdentity
  graph: Graph
  language: Language
  input: Json
  /** Absent means the graph's start. */
  startNode?: string
  history?: Iterable<StepOutcome>
  /** The steps that were started and must not be repeated, whether or not they left an outcome. */
  opened?: Iterable<OpenedStep>
  /** True when earlier work of this run may exist, so that its beginning is not announced twice. */
  resumed?: boolean
}

export interface EngineOptions {
  registry: StepRegistry
  checkParams: ParamsCheck
  /** A run that takes more steps than this fails: the ceiling of a loop that never ends. */
  maxSteps?: number
  /** A run whose outputs have more characters together fails. */
  maxOutputChars?: number
  /** Items of batches that are worked on at the same time, of all runs together. */
  maxItems?: number
}

const MAX_STEPS = 10_000
const MAX_OUTPUT_CHARS = 128 * 1024 * 1024

/** Interprets runs. All that they share is the room for items of their batches. */
export class Engine {
  private readonly places: ItemPlaces

  constructor(private readonly options: EngineOptions) {
    this.places = new ItemPlaces(options.maxItems)
  }

  /**
   * Takes a run as far as it goes. Resolves with how it came to rest, `cancelled` when `signal` stopped it; rejects only when the host
   * fails, for then what happened is not safely recorded and another owner goes on from the journal.
   */
  interpret(spec: RunSpec, host: Host, signal: AbortSignal): Promise<RunEnding> {
    const { history, opened, ...rest } = spec
    return new Interpretation(this.options, this.places, rest, new History(history, opened), host, signal).run()
  }
}

/**
 * One run on its way. The journal is the only memory that lasts: a run is taken up again by walking the graph from its start, with
 * settled paths answered from history, until the first path that is not settled.
 */
class Interpretation {
  /** Comes with the caller's signal, or when the journal refuses an outcome. */
  private readonly stop: Stop
  private readonly bench: Workbench
  private readonly breath = new Breath()
  private readonly visits = new Map<string, number>()
  private readonly maxSteps: number

  constructor(
    private readonly options: EngineOptions,
    places: ItemPlaces,
    private readonly spec: Omit<RunSpec, 'history' | 'opened'>,
    history: History,
    host: Host,
    private readonly signal: AbortSignal,
  ) {
    this.stop = new Stop(signal)
    this.maxSteps = options.maxSteps ?? MAX_STEPS
    this.bench = {
      host,
      language: spec.language,
      checkParams: options.checkParams,
      history,
      memory: new RunMemory(spec.run, spec.input),
      ledger: new Ledger(host, this.stop),
      budget: new OutputBudget(options.maxOutputChars ?? MAX_OUTPUT_CHARS, history.outcomes()),
      voice: new Voice(host, this.stop.signal),
      places,
    }
  }

  async run(): Promise<RunEnding> {
    const { ledger, voice } = this.bench
    try {
      const ending = await this.walk()
      await ledger.durable()
      this.announce(ending)
      return ending
    } catch (error) {
      if (this.signal.aborted) return { state: 'cancelled' }
      throw ledger.refusal ? ledger.refusal.reason : error
    } finally {
      voice.silence()
      this.stop.unlink()
    }
  }

  private async walk(): Promise<RunEnding> {
    try {
      return await this.visitAll()
    } catch (error) {
      const cause = error instanceof Interruption ? error.cause : error
      if (cause instanceof Parked) return { state: 'parked' }
      throw cause
    }
  }

  private async visitAll(): Promise<RunEnding> {
    const { graph, language } = this.spec
    const { memory, voice } = this.bench
    let name = this.spec.startNode ?? graph.start
    for (let steps = 0; ; steps++) {
      await this.breath.take()
      this.stop.signal.throwIfAborted()
      const node = graph.nodes.get(name)
      if (!node) return lost(name)
      if (steps === 0 && !this.spec.resumed) voice.log(node, 'info', language.words.started)
      if (steps >= this.maxSteps) return endless(node, this.maxSteps)
      const outcome = await this.settle(node)
      const next = successor(node, outcome)
      if (outcome.state === 'succeeded') {
        memory.remember(outcome, this.options.registry.get(node.type)?.sharedAs)
        if (next === undefined) return completed(node, outcome)
      } else {
        const error = errorOf(outcome)
        if (next === undefined) return { state: 'failed', error }
        memory.rememberFailure(outcome, error, language.failure(error))
      }
      name = next
    }
  }

  /** The outcome of visiting a node: from the journal when it is there, else by doing the work. */
  private async settle(node: GraphNode): Promise<StepOutcome> {
    const { history, ledger, voice } = this.bench
    const path = this.visit(node)
    const known = history.take(path)
    if (known) return known
    voice.started(node)
    const outcome = await this.work(node, path)
    ledger.record(outcome)
    if (outcome.state === 'succeeded') voice.completed(outcome)
    else voice.log(node, 'error', errorOf(outcome).message)
    return outcome
  }

  private async work(node: GraphNode, path: string): Promise<StepOutcome> {
    const { signal } = this.stop
    const type = this.options.registry.get(node.type)
    if (type && node.batch) return await new BatchVisit(this.bench, node, type, path, signal).run()
    if (type) return await attempts(this.bench, { node, type, path, signal })
    // A revision may be older than this process, and speak of a type that has gone.
    const now = this.bench.host.clock.now()
    const message = `unknown node type '${node.type}' in node '${node.name}'`
    const error = { message, code: 'unknown_type', node: node.name, nodeType: node.type }
    return failed({ node, path, attempt: 1, startedAt: now }, error, undefined, now)
  }

  private visit(node: GraphNode): string {
    const visit = (this.visits.get(node.name) ?? 0) + 1
    this.visits.set(node.name, visit)
    return visitPath(node.name, visit)
  }

  /** The last words of a run, once everything before them is durable. */
  private announce(ending: RunEnding): void {
    const { words } = this.spec.language
    const { voice } = this.bench
    if (ending.state === 'completed') voice.log({ name: ending.node, type: ending.nodeType }, 'info', words.completed)
    if (ending.state !== 'failed') return
    const { node, nodeType, message } = ending.error
    const speaker = node === undefined ? undefined : { name: node, type: nodeType ?? '' }
    voice.log(speaker, 'error', words.failed, { error: message })
  }
}

function completed(node: GraphNode, outcome: StepOutcome): RunEnding {
  const output = outcome.output ?? null
  const result = isJsonObject(output) ? output : { result: output }
  return { state: 'completed', result, node: node.name, nodeType: node.type }
}

function lost(name: string): RunEnding {
  return { state: 'failed', error: { message: `node '${name}' does not exist in this revision`, code: 'unknown_node' } }
}

function endless(node: GraphNode, maxSteps: number): RunEnding {
  const message = `exceeded maximum number of steps (${maxSteps})`
  return { state: 'failed', error: { message, code: 'step_limit', node: node.name, nodeType: node.type } }
}
