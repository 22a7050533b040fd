import type { RunEvent } from '../../../engine/host.js'
import { isJsonObject, type Json } from '../../../platform/json.js'
import { CONTAINER_STEP, PROCESS_STEP } from '../../../steps/process/job-step.js'
import type { RunEvents } from '../events/run-events.js'
import type { Journal } from '../journal/journal.js'
import type { StoredEvent } from '../journal/records.js'
import { LeaseLost } from '../runs.errors.js'
import { charsOf, type LogBudget } from './log-budget.js'

/** Events that are kept back while nobody watches; the rest goes with the run's end. */
const EVENTS_PER_CHUNK = 100

export interface EventWriterParts {
  journal: Pick<Journal, 'write'>
  events: Pick<RunEvents, 'watched' | 'published'>
  logs: LogBudget
  onError(error: unknown): void
}

/**
 * The events of one run on their way into its sequence: numbered without a gap, gathered into chunks, and written after the outcomes that
 * they tell of, which travel on another connection. While somebody watches, each chunk is what came up while the last was written.
 */
export class EventWriter {
  private unwritten: StoredEvent[] = []
  /** What the log lines among them weigh. */
  private logChars = 0
  /** Resolves when what was taken from `unwritten` is written, or given up. */
  private writing = Promise.resolve()
  private isEager = false
  private isOver = false

  constructor(
    private readonly run: { id: string; accountId: string },
    private seq: number,
    /** Settles once the outcomes so far are durable. */
    private readonly recorded: () => Promise<void>,
    private readonly parts: EventWriterParts,
  ) {}

  add(event: RunEvent): void {
    if (event.type !== 'log') this.number(event)
    else for (const line of this.parts.logs.admitted(event)) this.number(line)
    if (this.unwritten.length >= EVENTS_PER_CHUNK) void this.flush()
    else if (!this.isEager && this.isWatched) void this.flushEagerly()
  }

  /** Resolves once everything that was added is written. */
  async flush(): Promise<void> {
    if (this.unwritten.length > 0 && !this.isOver)
      this.writing = Promise.all([this.writing, this.write(this.take())]).then(() => {})
    await this.writing
  }

  /** The events that go with the run's end; all others are written by then, and none is written any more. */
  async rest(): Promise<StoredEvent[]> {
    this.isOver = true
    await this.writing
    for (const line of this.parts.logs.gap(new Date())) this.number(line)
    const { events, written } = this.take()
    written()
    return events
  }

  private get isWatched(): boolean {
    return this.parts.events.watched(this.run.id, this.run.accountId)
  }

  private async flushEagerly(): Promise<void> {
    this.isEager = true
    // What one turn of the event loop adds is one chunk.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.unwritten.length > 0 && !this.isOver) await this.flush()
    this.isEager = false
  }

  private number({ at, ...rest }: RunEvent): void {
    const stored: StoredEvent = { seq: ++this.seq, ...rest, at: at.toISOString() }
    if ('result' in stored) delete stored.result
    if ('output' in stored) delete stored.output
    if ('quoted' in stored) delete stored.quoted
    const exitCode = exitCodeOf(rest)
    if (exitCode !== undefined) stored.exitCode = exitCode
    this.unwritten.push(stored)
    if (rest.type !== 'log') return
    const chars = charsOf(rest)
    this.logChars += chars
    this.parts.logs.room.hold(chars)
  }

  private take(): { events: StoredEvent[]; written: () => void } {
    const { unwritten: events, logChars } = this
    this.unwritten = []
    this.logChars = 0
    return { events, written: () => this.parts.logs.room.release(logChars) }
  }

  private async write({ events, written }: ReturnType<EventWriter['take']>): Promise<void> {
    try {
      await this.recorded()
      await this.parts.journal.write({ kind: 'events', runId: this.run.id, accountId: this.run.accountId, events })
      this.parts.events.published(this.run.id, this.run.accountId)
    } catch (error) {
      // Whoever has taken the run over numbers on from what is recorded.
      if (!(error instanceof LeaseLost)) this.parts.onError(error)
    } finally {
      written()
    }
  }
}

/** A step that was a process puts out what that ended with, whether it succeeded or failed. */
function exitCodeOf(
  event: Omit<RunEvent, 'at'> & { nodeType?: string; result?: Json; output?: Json },
): number | undefined {
  if (event.nodeType !== PROCESS_STEP && event.nodeType !== CONTAINER_STEP) return undefined
  const output = event.result ?? event.output ?? null
  const exitCode = isJsonObject(output) ? output.exitCode : undefined
  return Number.isInteger(exitCode) ? (exitCode as number) : undefined
}
