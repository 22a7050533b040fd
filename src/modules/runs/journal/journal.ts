import pg from 'pg'
import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import { LastingConnection } from '../../../platform/database/lasting-connection.js'
import type { Sql, SqlSession, Statement } from '../../../platform/database/sql.js'
import { LogRoom } from '../host/log-budget.js'
import type { LateOutcome } from '../ownership/late-outcomes.js'
import { JournalFull, JournalUnavailable, LeaseLost, TooManyStarts } from '../runs.errors.js'
import { type JournalTelemetry, UNMEASURED } from '../telemetry/run-telemetry.js'
import { FLUSH_ARGUMENTS, flushLists, type Row, rowsOf, valuesOf } from './flush.js'
import {
  type Accepted,
  type Ending,
  type JournalRecord,
  type NewRun,
  runOf,
  type StoredEvent,
  type Writer,
} from './records.js'
import { Shares } from './shares.js'
import { type LargeValues, Spills } from './spills.js'

export interface JournalLimits {
  /** Records that may wait in a lane before further runs are refused. */
  maxQueued: number
  /** Characters of rows that may wait in a lane before further runs are refused. */
  maxQueuedChars: number
  /** Accepts of one account that may wait. */
  maxAcceptsOfAccount: number
  /** How long an accept may wait for a database that cannot be reached. */
  acceptPatienceMs: number
}

/** A run at its end, as the process that has it took it. */
export interface FinishedRun {
  id: string
  epoch: number
  accountId: string
  /** Whose object a large result becomes; it stays in its row where this is absent. */
  tenantId?: string
  /** The run above it, whose row its end touches. */
  parentId?: string
}

export interface JournalOptions extends Partial<JournalLimits> {
  onLost?: () => void
  /** False once this process may have lost its runs to another: then nothing is sent any more. */
  holds?: () => boolean
  /** Told of what was not written because another process may have taken over. */
  onLate?: (outcome: LateOutcome) => void
  /** A run that something was written of is not this process's any more: it was cancelled. Told before the write resolves. */
  onOver?: (runId: string) => void
  /** Runs of whoever were cancelled, because nobody waits for them any more. */
  onCancelled?: (runIds: readonly string[]) => void
  telemetry?: JournalTelemetry
  /** Without it every value stays in its row. */
  values?: LargeValues
}

const DEFAULT_LIMITS: JournalLimits = {
  maxQueued: 20_000,
  maxQueuedChars: 64 * 1024 * 1024,
  maxAcceptsOfAccount: 10_000,
  acceptPatienceMs: 5_000,
}

/** Lanes for what runs do: with one, long flows are slower, for nothing is taken in while it commits. */
const COURSE_LANES = 2
/** Records of one flush, and characters of its rows: enough to make the commit's price vanish, few enough that one statement stays short. */
const MAX_FLUSH = 2_000
const MAX_FLUSH_CHARS = 8 * 1024 * 1024
const WRITE: Statement = { name: 'journal_write', text: `select journal_write(${FLUSH_ARGUMENTS}) as answer` }

const RECONNECT_MS = [20, 50, 100, 250, 500, 1_000]

interface FlushAnswer {
  fenced?: boolean
  accepted?: { asked: string; id: string; request_hash: string | null; created_at: string }[] | null
  finished?: string[] | null
  cancelled?: string[] | null
  over?: string[] | null
}

interface Entry {
  runId: string
  isAccept: boolean
  rows: Row[]
  chars: number
  since: number
  resolve(answer: FlushAnswer): void
  reject(error: unknown): void
}

/**
 * What happened, made durable. Runs to accept queue in one lane, so that who asks for one does not wait behind what others do; what runs
 * do in two more, by run, in order; and their events in another. A run does nothing before it is accepted, so no record overtakes another of its
 * run. Each lane has a connection of its own, flushes all it holds in one statement and one commit, and starts the next flush the
 * moment the last returns: an idle process pays one commit of latency, a busy one shares each commit among hundreds of records. Every
 * write may be repeated, so a flush whose answer was lost is sent again. A record that the database refuses is found by halving and
 * fails alone.
 */
export class Journal {
  private readonly accepts: Lane
  private readonly courses: readonly Lane[]
  private readonly log: Lane
  private readonly onLost: () => void
  private readonly holdsLease: () => boolean
  private readonly onLate: (outcome: LateOutcome) => void
  private readonly onOver: (runId: string) => void
  private readonly onCancelled: (runIds: readonly string[]) => void
  private readonly spills: Spills
  private readonly shares: Shares
  readonly telemetry: JournalTelemetry
  /** For the log lines of all runs that wait to be written. */
  readonly logRoom = new LogRoom()
  isClosed = false
  readonly limits: JournalLimits

  constructor(
    sql: Sql,
    private readonly writer: Writer,
    { onLost, holds, onLate, onOver, onCancelled, telemetry, values, ...limits }: JournalOptions = {},
  ) {
    this.limits = { ...DEFAULT_LIMITS, ...limits }
    this.onLost = onLost ?? (() => {})
    this.holdsLease = holds ?? (() => true)
    this.onLate = onLate ?? (() => {})
    this.onOver = onOver ?? (() => {})
    this.onCancelled = onCancelled ?? (() => {})
    this.telemetry = telemetry ?? UNMEASURED.journal
    this.spills = new Spills(values)
    this.shares = new Shares(this.limits.maxAcceptsOfAccount)
    this.accepts = new Lane(this, new LastingConnection(sql, 'millrace journal'))
    const course = () => new Lane(this, new LastingConnection(sql, 'millrace journal'))
    this.courses = Array.from({ length: COURSE_LANES }, course)
    this.log = new Lane(this, new LastingConnection(sql, 'millrace log'))
  }

  /** Resolves once the run is durable. Throws `JournalFull`, `TooManyStarts` or `JournalUnavailable` when it cannot be taken now. */
  async accept(run: NewRun): Promise<Accepted> {
    if (this.isClosed || this.isFull) {
      this.telemetry.turnedAway('full')
      throw new JournalFull()
    }
    if (this.shares.isTaken(run.accountId)) {
      this.telemetry.turnedAway('share')
      throw new TooManyStarts()
    }
    const answer = await this.shares.within(run.accountId, () => this.submit({ kind: 'accept', run }, run.tenantId))
    const stored = answer.accepted?.find((accepted) => accepted.asked === run.id)
    if (!stored || stored.id === run.id) return { id: run.id, createdAt: run.createdAt, repeated: false }
    return {
      id: stored.id,
      createdAt: new Date(stored.created_at),
      requestHash: stored.request_hash ?? undefined,
      repeated: true,
    }
  }

  /** Resolves once durable; rejects with `LeaseLost` when another process has taken over. */
  async write(record: Exclude<JournalRecord, { kind: 'accept' | 'finish' }>): Promise<void> {
    if (record.kind === 'events') await this.log.submit(record, rowsOf(record))
    else if (record.kind === 'outcome')
      await this.submit(record, record.tenantId).catch((error) => this.late(record, error))
    else await this.submit(record, undefined)
  }

  /** Ends a run. False when it was ended before, by a cancel. */
  async finish(
    { id: runId, epoch, accountId, tenantId, parentId }: FinishedRun,
    ending: Ending,
    events: readonly StoredEvent[],
  ): Promise<boolean> {
    const record = { kind: 'finish', runId, accountId, tenantId, parentId, epoch, ending, events } as const
    const answer = await this.submit(record, tenantId)
    return answer.finished?.includes(runId) ?? false
  }

  /** Takes no more runs, and from now on does not wait for ever for a database that is away. */
  refuseRuns(): void {
    this.isClosed = true
  }

  /** The lease is lost: what waits or is in flight is refused, also where the database does not answer. */
  abandon(): void {
    this.refuseRuns()
    for (const lane of this.lanes) lane.cut()
  }

  /** Throws `LeaseLost` when this process may do nothing more for its runs. */
  checkLease(): void {
    if (this.holdsLease()) return
    this.onLost()
    throw new LeaseLost()
  }

  /** Resolves when all that was handed in is durable, or given up. */
  async close(): Promise<void> {
    this.refuseRuns()
    await this.spills.settled()
    await Promise.all(this.lanes.map((lane) => lane.close()))
  }

  /** True while something of this run waits or is in flight. */
  holds(runId: string): boolean {
    return this.spills.holds(runId) || this.lanes.some((lane) => lane.holds(runId))
  }

  /** Records waiting or in flight. */
  get queued(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.length, 0)
  }

  /** Characters that wait to be written, or to be put aside. */
  get queuedChars(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.queuedChars, this.spills.chars)
  }

  async send(rows: readonly Row[], connection: SqlSession): Promise<FlushAnswer> {
    this.checkLease()
    const sent = connection.query<{ answer: FlushAnswer }>(WRITE, [
      this.writer.id,
      this.writer.fence,
      ...flushLists(rows),
    ])
    crashPoint('mid-flush')
    const [row] = await sent
    crashPoint('commit-before-resolve')
    const answer = row?.answer ?? {}
    if (answer.fenced) {
      this.onLost()
      throw new LeaseLost()
    }
    for (const runId of answer.over ?? []) this.onOver(runId)
    if (answer.cancelled?.length) this.onCancelled(answer.cancelled)
    return answer
  }

  /** What is large goes into the object store first; what is not, goes at once. */
  private async submit(record: JournalRecord, tenantId: string | undefined): Promise<FlushAnswer> {
    const lane = record.kind === 'accept' ? this.accepts : this.course(runOf(record))
    return await this.spills.inOrder(runOf(record), tenantId, valuesOf(record), (values) =>
      lane.submit(record, rowsOf(record, values)),
    )
  }

  private late({ runId, outcome }: Extract<JournalRecord, { kind: 'outcome' }>, error: unknown): never {
    const { path, attempt, state } = outcome
    if (error instanceof LeaseLost) this.onLate({ runId, path, attempt, state })
    throw error
  }

  private get lanes(): Lane[] {
    return [this.accepts, ...this.courses, this.log]
  }

  private course(runId: string): Lane {
    return this.courses[runId.charCodeAt(runId.length - 1) % COURSE_LANES] as Lane
  }

  /** Whether what waits to be written leaves no room for further runs. */
  private get isFull(): boolean {
    const { limits, spills } = this
    return [this.accepts, ...this.courses].some((lane) => lane.isFull(limits)) || spills.chars >= limits.maxQueuedChars
  }
}

/** One of the journal's queues, with at most one flush under way. */
class Lane {
  private queue: Entry[] = []
  private inFlight: Entry[] = []
  private chars = 0
  private charsInFlight = 0
  private flushing?: Promise<void>

  constructor(
    private readonly journal: Journal,
    private readonly connection: LastingConnection,
  ) {}

  get length(): number {
    return this.queue.length + this.inFlight.length
  }

  get queuedChars(): number {
    return this.chars + this.charsInFlight
  }

  holds(runId: string): boolean {
    const isOf = (entry: Entry) => entry.runId === runId
    return this.inFlight.some(isOf) || this.queue.some(isOf)
  }

  isFull(limits: JournalLimits): boolean {
    return this.length >= limits.maxQueued || this.chars >= limits.maxQueuedChars
  }

  submit(record: JournalRecord, rows: Row[]): Promise<FlushAnswer> {
    return new Promise((resolve, reject) => {
      const chars = rows.reduce((sum, { json }) => sum + json.length, 0)
      const isAccept = record.kind === 'accept'
      this.queue.push({ runId: runOf(record), isAccept, rows, chars, since: Date.now(), resolve, reject })
      this.chars += chars
      this.flushing ??= this.flushAll()
    })
  }

  /** Breaks the connection, and with it the flush that is under way. */
  cut(): void {
    void this.connection.close()
  }

  /** Resolves when all that was handed in is settled. */
  async close(): Promise<void> {
    await this.flushing
    await this.connection.close()
  }

  private async flushAll(): Promise<void> {
    // Everything that this turn of the event loop hands in travels together.
    await new Promise((resolve) => setImmediate(resolve))
    for (let failures = 0; this.queue.length > 0; ) {
      const entries = this.take()
      this.inFlight = entries
      try {
        await this.flush(entries)
        failures = 0
      } catch (error) {
        const again = this.stillWilling(entries, error, failures)
        this.landed()
        this.journal.telemetry.resent(again.length)
        this.putBack(again)
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS[Math.min(failures++, RECONNECT_MS.length - 1)]))
      }
      this.landed()
    }
    this.flushing = undefined
  }

  private landed(): void {
    this.inFlight = []
    this.charsInFlight = 0
  }

  /** The next flush: at least one entry, and as many more as fit. */
  private take(): Entry[] {
    let count = 0
    let chars = 0
    for (const entry of this.queue) {
      if (count > 0 && (count >= MAX_FLUSH || chars + entry.chars > MAX_FLUSH_CHARS)) break
      chars += entry.chars
      count++
    }
    this.chars -= chars
    this.charsInFlight = chars
    return this.queue.splice(0, count)
  }

  private putBack(entries: readonly Entry[]): void {
    this.queue.unshift(...entries)
    for (const entry of entries) this.chars += entry.chars
  }

  /** Settles every entry, or throws when the database cannot be reached and all may be sent again. */
  private async flush(entries: readonly Entry[]): Promise<void> {
    const { telemetry } = this.journal
    try {
      const startedAt = performance.now()
      const rows = entries.flatMap((entry) => entry.rows)
      const answer = await this.journal.send(rows, this.connection)
      telemetry.flushed({
        records: entries.length,
        chars: entries.reduce((sum, { chars }) => sum + chars, 0),
        startedAt,
        queued: this.queue.length,
      })
      for (const entry of entries) entry.resolve(answer)
    } catch (error) {
      if (error instanceof LeaseLost) for (const entry of entries) entry.reject(error)
      else if (!isRefusal(error)) throw error
      else if (entries.length === 1) {
        telemetry.refused()
        entries[0]?.reject(error)
      } else {
        telemetry.halved()
        const middle = entries.length >> 1
        await this.flush(entries.slice(0, middle))
        await this.flush(entries.slice(middle))
      }
    }
  }

  /**
   * While the database is away, what is already running waits for it; a caller who wants a run accepted does not wait for ever, and
   * neither does a process that is stopping: whoever takes its runs over goes on from what is recorded.
   */
  private stillWilling(entries: readonly Entry[], error: unknown, failures: number): Entry[] {
    const latest = Date.now() - this.journal.limits.acceptPatienceMs
    return entries.filter((entry) => {
      if (this.journal.isClosed && failures >= RECONNECT_MS.length) entry.reject(error)
      else if (entry.isAccept && entry.since <= latest) {
        this.journal.telemetry.turnedAway('unavailable')
        entry.reject(new JournalUnavailable())
      } else return true
      return false
    })
  }
}

/**
 * True when sending the same again would be refused again: everything the database answers, but for lost connections (08), conflicts
 * with other transactions (40), a server that just became a standby (25), and a lack of resources or an operator's doing (53, 55, 57, 58).
 */
export function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !/^(08|25|40|53|55|57|58)/.test(error.code ?? '')
}
