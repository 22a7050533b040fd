import type { Json } from '../platform/json.js'
import { BatchTally } from './batch-tally.js'
import type { GraphNode } from './graph.js'
import { Parked, type StepOutcome } from './host.js'
import { Interruption } from './interruption.js'
import { itemsFor } from './item-list.js'
import { type Begun, errorOf, failed, flowError, succeeded } from './outcomes.js'
import { itemPath } from './path.js'
import { attempts, lostAttempt } from './retrying.js'
import type { StepType } from './step.js'
import { Breath, Stop } from './stopping.js'
import type { Workbench } from './workbench.js'

/** Items at the same time, whatever the flow's author asks for: what each holds on to is taken from everybody. */
const MOST_AT_ONCE = 1_000
/** How often a batch that takes its time says how far it is. */
const PROGRESS_MS = 5_000

/**
 * One visit to a batch node: its step for every item, at most `maxParallel` at a time, outputs in the items' order. Each item settles
 * under a path of its own, so that an interrupted batch goes on with the others. The first failure fails the node: no further item
 * starts, those in flight are aborted and waited for, and exactly one failed item is recorded. What must not be repeated is not cut off
 * in its middle: nobody would know what came of it. A batch is unloaded once none of its items goes on in memory: an item that is parked
 * keeps its place among those that run at the same time.
 */
export class BatchVisit {
  private readonly siblings: Stop
  private readonly serial: boolean
  private readonly collected: boolean
  private readonly breath = new Breath()
  private tally: BatchTally
  private tellAt: number
  private broken?: { error: unknown }
  /** Why items wait outside memory, where some do. */
  private parked?: Interruption

  constructor(
    private readonly bench: Workbench,
    private readonly node: GraphNode,
    private readonly type: StepType,
    private readonly path: string,
    private readonly signal: AbortSignal,
  ) {
    this.siblings = new Stop(signal)
    this.serial = node.batch?.strategy === 'serial'
    this.collected = node.batch?.collect !== false
    this.tally = new BatchTally(0, this.collected)
    this.tellAt = this.now + PROGRESS_MS
  }

  async run(): Promise<StepOutcome> {
    const { host } = this.bench
    const begun = { node: this.node, path: this.path, attempt: 1, startedAt: host.clock.now() }
    try {
      const items = await itemsFor(this.bench, this.type, begun, this.signal)
      this.tally = new BatchTally(items.length, this.collected)
      await this.settle(items)
      return this.outcome(begun)
    } catch (error) {
      if (error instanceof Interruption || this.signal.aborted) throw error
      return failed(begun, flowError(this.node, error, host), undefined, host.clock.now())
    } finally {
      this.siblings.unlink()
    }
  }

  private async settle(items: readonly Json[]): Promise<void> {
    const open = this.goOn(items.length)
    if (this.tally.failure) return
    const { places } = this.bench
    const most = this.serial ? 1 : Math.min(MOST_AT_ONCE, Math.max(1, this.node.batch?.maxParallel ?? 1))
    const lanes: Promise<void>[] = []
    let next = 0
    let inMemory = 0
    const hasNext = () => next < open.length && !this.siblings.signal.aborted
    // One item goes on without a place, so that every batch does.
    const begin = () => {
      while (hasNext() && lanes.length < most && (inMemory === 0 || places.take(inMemory)))
        lanes.push(lane(inMemory++ > 0))
    }
    const lane = async (hasPlace: boolean) => {
      try {
        while (hasNext()) {
          const index = open[next++] as number
          if (!(await this.item(items[index] ?? null, index))) break
          begin()
          await this.breath.take()
        }
      } finally {
        inMemory--
        if (hasPlace) places.give()
      }
      begin()
    }
    begin()
    // There may be more by the time that the first is over.
    for (const one of lanes) await one
    this.signal.throwIfAborted()
    if (this.broken) throw this.broken.error
    if (this.parked && !this.tally.failure) throw this.parked
  }

  /** Takes in what is settled already, and returns the items that are not. An attempt that was lost fails the batch before any starts. */
  private goOn(count: number): number[] {
    const { history, ledger } = this.bench
    const open: number[] = []
    for (let index = 0; index < count; index++) {
      const known = history.take(itemPath(this.path, index))
      if (known) this.take(known, index)
      else open.push(index)
    }
    for (const index of open) {
      if (this.tally.failure) break
      const lost = lostAttempt(this.bench, this.node, itemPath(this.path, index))
      if (!lost) continue
      ledger.record(lost)
      this.take(lost, index)
    }
    return open
  }

  /** False when the item is parked, and its place with it. */
  private async item(value: Json, index: number): Promise<boolean> {
    const { bench, node, type, collected } = this
    const { signal } = this.siblings
    try {
      const path = itemPath(this.path, index)
      const work = node.guarantee === 'at_most_once' ? this.signal : signal
      const item = { value, index, collected }
      const outcome = await attempts(bench, { node, type, path, item, signal: work, noMore: signal })
      // From here to the end nothing waits: of items that fail together one is recorded. What succeeded all the same is, too.
      if (outcome.state === 'failed') signal.throwIfAborted()
      bench.ledger.record(outcome)
      this.take(outcome, index)
      if (outcome.state === 'failed') this.siblings.now()
      this.tell()
    } catch (error) {
      if (signal.aborted) return true
      if (error instanceof Interruption && error.cause instanceof Parked) {
        this.parked = error
        return false
      }
      this.broken = { error }
      this.siblings.now(error)
    }
    return true
  }

  private take(outcome: StepOutcome, index: number): void {
    this.tally.take(outcome, index)
    // Items side by side see what was shared before the batch; only in a row does one see another's.
    if (this.serial && outcome.state === 'succeeded') this.bench.memory.share(outcome.shared)
  }

  private tell(): void {
    if (this.now < this.tellAt) return
    this.tellAt = this.now + PROGRESS_MS
    const { total, succeeded, failed } = this.tally.counts
    const message = `${succeeded + failed} of ${total} items done`
    this.bench.voice.log(this.node, 'info', message, { total, succeeded, failed })
  }

  /** The node's own outcome. Outputs that it collects were paid for item by item. */
  private outcome(begun: Begun): StepOutcome {
    const { failure, action, shared, output, counts } = this.tally
    const now = this.bench.host.clock.now()
    if (failure) {
      const error = this.collected ? errorOf(failure) : { ...errorOf(failure), output: counts }
      return { ...failed(begun, error, failure.action, now), shared }
    }
    this.bench.budget.spend(shared)
    return succeeded(begun, { output, action, shared }, now)
  }

  private get now(): number {
    return this.bench.host.clock.now().getTime()
  }
}
