import type { Json } from '../platform/json.js'
import type { Graph } from './graph.js'
import { History } from './history.js'
import { type FlowError, type Host, type OpenedStep, Parked, type RunEnding, type StepOutcome } from './host.js'
import { Interruption } from './interruption.js'
import { ItemPlaces } from './item-places.js'
import type { Language } from './language.js'
import { Ledger } from './ledger.js'
import { OutputBudget } from './output-budget.js'
import { type Journey, Passage } from './passage.js'
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
  /** When the run has to have ended; then it fails. */
  deadline?: Date
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

/** The place of the run that a failure starts: no node can have this name. */
const ON_FAIL = '#failed'
const TOO_LATE: FlowError = { message: 'the run took longer than its flow allows', code: 'run_timeout' }
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
  /** Comes with `stop`, or when the run's time is over. */
  private readonly limit: Stop
  private readonly passage: Passage

  constructor(
    options: EngineOptions,
    places: ItemPlaces,
    private readonly spec: Omit<RunSpec, 'history' | 'opened'>,
    history: History,
    host: Host,
    private readonly signal: AbortSignal,
  ) {
    this.stop = new Stop(signal)
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
    const journey: Journey = {
      registry: options.registry,
      breath: new Breath(),
      steps: 0,
      maxSteps: options.maxSteps ?? MAX_STEPS,
      onStart: (node) => {
        if (!spec.resumed) this.bench.voice.log(node, 'info', spec.language.words.started)
      },
    }
    this.limit = new Stop(this.stop.signal)
    this.passage = new Passage(journey, this.bench, spec.graph, this.limit.signal)
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
      this.limit.unlink()
      this.stop.unlink()
    }
  }

  private async walk(): Promise<RunEnding> {
    const { deadline } = this.spec
    const isLate = () => this.limit.signal.aborted && !this.stop.signal.aborted
    const cancel = deadline && this.bench.host.clock.at(deadline, () => this.limit.now())
    try {
      const ending = await this.passage.walk(this.spec.startNode)
      return ending.state === 'failed' ? await this.fail(ending.error) : ending
    } catch (error) {
      if (isLate()) return await this.fail(TOO_LATE)
      const cause = error instanceof Interruption ? error.cause : error
      // What is taken up because its time is over finds its waits as it left them.
      const isOver = deadline !== undefined && deadline <= this.bench.host.clock.now()
      if (cause instanceof Parked) return isOver ? await this.fail(TOO_LATE) : { state: 'parked' }
      throw cause
    } finally {
      cancel?.()
    }
  }

  /** What a flow does once it has failed, also where its time was over, is part of it. */
  private async fail(error: FlowError): Promise<RunEnding> {
    const flowId = this.spec.graph.settings?.onFailFlowId
    const { memory, host, ledger, language } = this.bench
    const input = language.rescueInput?.({ run: memory.run, runInput: memory.runInput, error })
    if (flowId === undefined || input === undefined) return { state: 'failed', error }
    await ledger.durable()
    const started = await host.startChild({ path: ON_FAIL, attempt: 1, flowId, input, awaited: false })
    if ('refusal' in started)
      this.bench.voice.log(undefined, 'warn', `the flow for failures was not started: ${started.refusal.message}`)
    return { state: 'failed', error }
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
