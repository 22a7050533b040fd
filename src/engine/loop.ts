import type { Json, JsonObject } from '../platform/json.js'
import type { Graph, GraphNode, Loop } from './graph.js'
import { Parked, type PassageEnding, type StepOutcome } from './host.js'
import { Interruption } from './interruption.js'
import { itemsFor } from './item-list.js'
import { type Begun, errorOf, failed, flowError, succeeded } from './outcomes.js'
import { parametersOf } from './parameters.js'
import { itemPath } from './path.js'
import type { RunMemory } from './run-memory.js'
import { StepError, type StepType } from './step.js'
import { Stop } from './stopping.js'
import { UserCode } from './user-code.js'
import type { Workbench } from './workbench.js'

/** Walks a loop's body with a memory of its own, under paths with this prefix. */
export type WalkRound = (memory: RunMemory, body: Graph, prefix: string, signal: AbortSignal) => Promise<PassageEnding>

/**
 * One visit to a node that loops. Each round settles under a path of its own, `each[3]`, with what is collected of it, and its nodes below
 * that, `each[3].fetch`, so that an interrupted loop goes on in the middle of a round. The first round that fails fails the node: no further
 * one starts, and those beside it are stopped.
 */
export class LoopVisit {
  private readonly siblings: Stop
  private readonly loop: Loop
  private readonly rounds: (StepOutcome | undefined)[] = []

  constructor(
    private readonly bench: Workbench,
    private readonly node: GraphNode,
    private readonly type: StepType,
    private readonly path: string,
    private readonly signal: AbortSignal,
    private readonly walk: WalkRound,
  ) {
    this.siblings = new Stop(signal)
    this.loop = node.loop as Loop
  }

  async run(): Promise<StepOutcome> {
    const { bench, node, path, signal } = this
    const begun = { node, path, attempt: 1, startedAt: this.now }
    try {
      const items = batchesOf(await itemsFor(bench, this.type, begun, signal), await this.batchSize())
      await this.settle(items)
      return this.outcome(begun, items.length)
    } catch (error) {
      if (error instanceof Interruption || signal.aborted) throw error
      return failed(begun, flowError(node, error, bench.host), undefined, this.now)
    } finally {
      this.siblings.unlink()
    }
  }

  private async batchSize(): Promise<number> {
    const { bench, node, signal } = this
    const { step } = parametersOf(node, this.type, bench.language)
    const { batchSize = 1 } = (await new UserCode(bench, { node, signal }).render(step)).value
    if (typeof batchSize !== 'number' || !Number.isInteger(batchSize) || batchSize < 1)
      throw new StepError('batchSize has to be a whole number from 1', { code: 'invalid_params', retryable: false })
    return batchSize
  }

  private async settle(items: readonly Json[]): Promise<void> {
    const waits: unknown[] = []
    let next = 0
    const lane = async () => {
      while (next < items.length && !this.siblings.signal.aborted) {
        const index = next++
        try {
          await this.round(items, index)
        } catch (error) {
          if (!(error instanceof Interruption && error.cause instanceof Parked)) throw error
          waits.push(error)
          // A round that waits outside memory keeps its place among those at the same time.
          return
        }
      }
    }
    const lanes = Array.from({ length: Math.min(Math.max(1, this.loop.maxParallel), items.length) }, lane)
    const ended = await Promise.allSettled(lanes)
    this.signal.throwIfAborted()
    const failure = this.rounds.find((round) => round?.state === 'failed')
    for (const one of ended) if (one.status === 'rejected' && !failure) throw one.reason
    if (waits.length > 0 && !failure) throw waits[0]
  }

  private async round(items: readonly Json[], index: number): Promise<void> {
    const { bench, node, loop } = this
    const path = itemPath(this.path, index)
    const known = bench.history.take(path)
    if (known) {
      this.take(known, index)
      return
    }
    const begun = { node, path, attempt: 1, startedAt: this.now }
    const memory = bench.memory.round()
    const total = items.length
    memory.show(node.name, { item: items[index] ?? null, index, total, isLast: index === total - 1 })
    const { signal } = this.siblings
    const ending = await this.walk(memory, loop.body, `${path}.`, signal)
    // Of rounds that fail together one is recorded.
    if (ending.state === 'failed') signal.throwIfAborted()
    const outcome =
      ending.state === 'failed'
        ? failed(begun, ending.error, undefined, this.now)
        : succeeded(begun, { output: memory.outputsOf(loop.collect) }, this.now)
    bench.ledger.record(outcome)
    this.take(outcome, index)
  }

  private take(outcome: StepOutcome, index: number): void {
    this.rounds[index] = outcome
    if (outcome.state === 'failed') this.siblings.now()
  }

  private outcome(begun: Begun, total: number): StepOutcome {
    const failure = this.rounds.find((round) => round?.state === 'failed')
    if (failure) return failed(begun, errorOf(failure), undefined, this.now)
    const outputs: JsonObject = {}
    for (const name of this.loop.collect)
      outputs[name] = this.rounds.map((round) => (round?.output as JsonObject | undefined)?.[name] ?? null)
    return succeeded(begun, { output: { total, outputs } }, this.now)
  }

  private get now(): Date {
    return this.bench.host.clock.now()
  }
}

/** The items one by one, or lists of `size` of them. */
function batchesOf(items: Json[], size: number): Json[] {
  if (size === 1) return items
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size))
}
